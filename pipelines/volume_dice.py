"""Dice over whole volumes, gathered slice by slice or as they are."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from torch import Tensor


class VolumeDice(Metric):
    """Dice of each volume and class, averaged over volumes and foreground classes.

    Slices of one volume arrive in any order; their overlaps are added up before the ratio is taken. A volume may
    come whole, or in any other parts. A class that neither prediction nor label of a volume holds does not count.
    Several processes add up what each has seen, so each part belongs to one of them.

    Args:
        n_classes: classes, background included.
    """

    def __init__(self, n_classes: int = 4) -> None:
        self.n_classes = n_classes
        super().__init__()

    def iteration_completed(self, engine: Engine) -> None:
        """Add the batch an evaluator has just seen: its `pred` and `label`, and the `subject` of each item."""
        output: Any = engine.state.output
        batch: Any = engine.state.batch
        self.update((output["pred"], output["label"], batch["subject"]))

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget everything."""
        self._counts: dict[str, Tensor] = defaultdict(
            lambda: torch.zeros(3, self.n_classes, dtype=torch.float64)
        )
        self._gathered = False

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, Tensor, Sequence[str]]) -> None:
        """Add slices or volumes.

        Args:
            output: logits `(batch, class, y, x)` or `(batch, class, slice, y, x)`, labels with one channel on the
                same grid, subject of each item.
        """
        logits, labels, subjects = output
        classes = torch.arange(self.n_classes, device=logits.device)[:, None]
        items = zip(logits.argmax(1).flatten(1), labels[:, 0].flatten(1), subjects, strict=True)
        for predicted, label, subject in items:
            in_prediction, in_label = predicted == classes, label == classes
            overlap = (in_prediction & in_label, in_prediction, in_label)
            self._counts[subject] += torch.stack([mask.sum(1) for mask in overlap]).cpu()

    def compute(self) -> float:
        """Mean Dice, 0 to 1; not a number where there is nothing to average. All processes have to call it."""
        self._gather()
        scores = self.per_volume()
        values = torch.cat([score[1:] for score in scores.values()]) if scores else torch.zeros(0)
        return float(values[values.isfinite()].mean())

    def per_volume(self) -> dict[str, Tensor]:
        """Dice of each class, background first, by subject; not a number where a class is in neither."""
        return {
            subject: 2 * common / (predicted + labelled)
            for subject, (common, predicted, labelled) in self._counts.items()
        }

    def _gather(self) -> None:
        """Add what the other processes have seen, once."""
        if self._gathered or not (dist.is_available() and dist.is_initialized()):
            return
        everyone: list[dict[str, Tensor]] = [{} for _ in range(dist.get_world_size())]
        dist.all_gather_object(everyone, dict(self._counts))
        self.reset()
        for counts in everyone:
            for subject, overlap in counts.items():
                self._counts[subject] += overlap
        self._gathered = True
