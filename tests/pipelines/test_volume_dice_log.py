"""What is told of an evaluation, against Dice by hand."""

import logging

import pytest
import torch
from ignite.engine import Engine

from kseg.pipelines.volume_dice import VolumeDice
from kseg.pipelines.volume_dice_log import VolumeDiceLog


def slices(predicted: list[int], label: list[int], subject: str) -> tuple[dict, dict]:
    """One slice of one row: what an evaluator's output and batch hold."""
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), 3).T.float()[None, :, None]
    return {"pred": logits, "label": torch.tensor(label)[None, None, None]}, {"subject": [subject]}


def test_dice_of_each_volume_and_class_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = [
        slices([0, 1, 1, 1], [0, 1, 1, 2], "b"),
        slices([2, 2, 0, 0], [2, 2, 2, 0], "a"),
        slices([2, 0, 0, 0], [2, 0, 0, 0], "b"),
    ]
    metric = VolumeDice(n_classes=3)

    def step(engine: Engine, index: int) -> dict:
        output, batch = seen[index]
        engine.state.batch = batch
        return output

    engine = Engine(step)
    metric.attach(engine, "volume_dice")
    VolumeDiceLog(metric, ["CSF", "GM"]).attach(engine)
    engine.run(range(3))
    told = [record.getMessage() for record in caplog.records if "volume_dice_log" in record.name]
    # b: CSF 2 * 2 / (3 + 2), GM 2 * 1 / (1 + 2); a: GM 2 * 2 / (2 + 3) and CSF in neither.
    assert told == ["a: CSF nan, GM 0.8000", "b: CSF 0.8000, GM 0.6667", "volume Dice 0.755556"]
    assert engine.state.metrics["volume_dice"] == pytest.approx((0.8 + 0.8 + 2 / 3) / 3)
