"""Tell the Dice of each volume and class after an evaluation."""

import logging
from collections.abc import Sequence

from ignite.engine import Engine, Events

from kseg.pipelines.volume_dice import VolumeDice

_logger = logging.getLogger(__name__)


class VolumeDiceLog:
    """Log one line per volume, with the Dice of each class, and one with the mean over all of them.

    Args:
        metric: the metric of the evaluation.
        classes: names of the classes without the background, in the order of the labels.
    """

    def __init__(self, metric: VolumeDice, classes: Sequence[str]) -> None:
        self.metric = metric
        self.classes = classes

    def attach(self, engine: Engine) -> None:
        """Listen to the end of the evaluation."""
        engine.add_event_handler(Events.COMPLETED, self._log)

    def _log(self) -> None:
        for subject, scores in sorted(self.metric.per_volume().items()):
            named = zip(self.classes, scores[1:].tolist(), strict=True)
            _logger.info("%s: %s", subject, ", ".join(f"{name} {score:.4f}" for name, score in named))
        _logger.info("volume Dice %.6f", self.metric.compute())
