import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from torch import Tensor

from kseg.pipelines.volume_dice import VolumeDice

# Label, prediction of each voxel: a slice of 2 x 3.
LABEL = torch.tensor([[0, 1, 1], [2, 2, 3]])
PREDICTED = torch.tensor([[0, 1, 2], [2, 2, 0]])


def logits(labels: Tensor, n_classes: int = 4) -> Tensor:
    return torch.nn.functional.one_hot(labels, n_classes).movedim(-1, 1).float()


def batch(*slices: tuple[str, Tensor, Tensor]) -> tuple[Tensor, Tensor, list[str]]:
    """Logits, labels and subjects of (subject, predicted, label)."""
    subjects, predicted, labels = zip(*slices, strict=True)
    return logits(torch.stack(predicted)), torch.stack(labels)[:, None].to(torch.uint8), list(subjects)


def measured(*batches: tuple[Tensor, Tensor, list[str]]) -> VolumeDice:
    metric = VolumeDice()
    for one in batches:
        metric.update(one)
    return metric


def test_dice_of_one_slice_is_twice_the_overlap_over_the_sizes():
    metric = measured(batch(("a", PREDICTED, LABEL)))
    expected = [2 * 1 / (2 + 1), 2 * 1 / (1 + 2), 2 * 2 / (3 + 2), 0.0]
    assert metric.per_volume()["a"].tolist() == pytest.approx(expected)
    assert metric.compute() == pytest.approx(sum(expected[1:]) / 3)


def test_the_slices_of_a_volume_are_added_up_before_the_ratio():
    empty = torch.zeros(2, 3, dtype=torch.int64)
    metric = measured(batch(("a", PREDICTED, LABEL)), batch(("a", LABEL, LABEL), ("a", empty, LABEL)))
    # Class 1: overlap 1 + 2 + 0, predicted 1 + 2 + 0, labelled 2 + 2 + 2.
    assert metric.per_volume()["a"][1].item() == pytest.approx(2 * 3 / (3 + 6))
    mean_of_slices = (2 / 3 + 1 + 0) / 3
    assert metric.per_volume()["a"][1].item() != pytest.approx(mean_of_slices)


def test_volumes_are_averaged_and_neither_order_nor_batches_matter():
    slices = [("a", PREDICTED, LABEL), ("b", LABEL, LABEL), ("a", LABEL, PREDICTED), ("b", PREDICTED, LABEL)]
    expected = measured(batch(*slices)).compute()
    assert measured(*(batch(one) for one in reversed(slices))).compute() == pytest.approx(expected)
    assert measured(*(batch(*pair) for pair in list(pairwise(slices))[::2])).compute() == pytest.approx(
        expected
    )
    alone = [measured(batch(*(one for one in slices if one[0] == name))).compute() for name in ("a", "b")]
    assert expected == pytest.approx(sum(alone) / 2)


def test_a_class_that_is_in_neither_does_not_count_and_one_that_was_missed_does():
    without = torch.tensor([[0, 1, 1], [2, 2, 2]])
    metric = measured(batch(("a", without, without)))
    assert metric.per_volume()["a"].isnan().tolist() == [False, False, False, True]
    assert metric.compute() == 1.0
    missed = measured(batch(("a", torch.zeros(2, 3, dtype=torch.int64), without)))
    assert missed.per_volume()["a"][1:3].tolist() == [0.0, 0.0]
    assert missed.compute() == 0.0


def test_nothing_to_measure_is_no_number_and_reset_forgets():
    metric = measured(batch(("a", LABEL, LABEL)))
    assert metric.compute() == 1.0
    metric.reset()
    assert math.isnan(metric.compute())
    air = torch.zeros(2, 3, dtype=torch.int64)
    assert math.isnan(measured(batch(("a", air, air))).compute())
    assert measured(batch(("a", air, air), ("b", LABEL, LABEL))).compute() == 1.0


def test_an_engine_hands_over_what_it_has_just_seen():
    predicted, labels, subjects = batch(("a", PREDICTED, LABEL), ("b", LABEL, LABEL))

    def step(engine: Engine, data: dict[str, object]) -> dict[str, Tensor]:
        return {"pred": predicted, "label": labels}

    engine, metric = Engine(step), VolumeDice()
    metric.attach(engine, "volume_dice")
    engine.run([{"subject": subjects}])
    expected = measured((predicted, labels, subjects)).compute()
    assert engine.state.metrics["volume_dice"] == pytest.approx(expected)
    state = SimpleNamespace(output={"pred": predicted, "label": labels}, batch={"subject": subjects})
    metric.reset()
    metric.iteration_completed(SimpleNamespace(state=state))  # type: ignore[arg-type]
    assert metric.compute() == pytest.approx(expected)


def test_volumes_count_as_their_slices_do():
    volumes = [
        ("a", torch.stack([PREDICTED, LABEL]), torch.stack([LABEL, LABEL])),
        ("b", torch.stack([LABEL, PREDICTED]), torch.stack([PREDICTED, LABEL])),
    ]
    whole = measured(batch(*volumes))
    slices = [(name, *pair) for name, *both in volumes for pair in zip(*both, strict=True)]
    assert whole.compute() == measured(batch(*slices)).compute()
    assert whole.per_volume()["a"][1].item() == pytest.approx(2 * (1 + 2) / (2 + 2 + 1 + 2))
