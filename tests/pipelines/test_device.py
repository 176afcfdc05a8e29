"""Devices by name, those that a machine has and those that it has not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from kseg.pipelines.device import choose_device
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings


def with_gpus(monkeypatch: pytest.MonkeyPatch, n_gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)


@pytest.mark.parametrize(
    ("n_gpus", "name", "device"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (2, "cpu", "cpu"),
    ],
)
def test_names_of_devices(monkeypatch: pytest.MonkeyPatch, n_gpus: int, name: str, device: str) -> None:
    with_gpus(monkeypatch, n_gpus)
    assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("n_gpus", "name", "there"),
    [(0, "cuda", "cpu"), (1, "cuda:1", "cpu, cuda:0"), (1, "gpu", "cpu, cuda:0"), (0, "", "cpu")],
)
def test_a_device_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, n_gpus: int, name: str, there: str
) -> None:
    with_gpus(monkeypatch, n_gpus)
    message = re.escape(f"device: expected one of auto, {there}, received {name}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        choose_device(name)


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_a_run_on_a_device_that_is_not_there_is_refused(
    engine: Literal["here", "processes"],
    save_kspace: Callable[[Path], Path],
    tiny_bundle: Path,
    tmp_path: Path,
) -> None:
    save_kspace(tmp_path / "a.h5")
    run = RunSettings(engine=engine, device="cuda:77")
    with pytest.raises(ValueError, match=r"^device: expected one of auto, cpu.*, received cuda:77$"):
        segment(tmp_path / "a.h5", tmp_path / "out", str(tiny_bundle), SegmentSettings(), run)
    assert not (tmp_path / "out").exists()
