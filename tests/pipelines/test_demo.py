"""The whole way, on a small head with a small network, and as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kseg.pipelines import demo
from kseg.pipelines.demo import run_demo
from kseg.pipelines.simulate import SimulationSettings
from kseg.transforms.errors import InputError
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map


@pytest.fixture
def settings(
    save_head: Callable[..., Path],
    small_grid: AcquisitionGrid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> SimulationSettings:
    """Settings for the small head that takes the place of the embedded one."""
    volume = read_label_map(save_head(tmp_path / "head.nii.gz"))
    head = head_from_labels(volume, load_label_codes("freesurfer"))
    monkeypatch.setattr(demo, "mni152_head", lambda: head)
    return SimulationSettings(grid=small_grid, center_lines=4, seed=5)


def test_everything_is_made_and_said(settings: SimulationSettings, tiny_bundle: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert run_demo(tmp_path / "out", str(tiny_bundle), settings, said.append) == 0
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {
        "kspace/mni152.h5",
        "labels/mni152.nii.gz",
        "images/mni152.nii.gz",
        "segmented/mni152_seg.nii.gz",
        "segmented/mni152_recon.nii.gz",
        "segmented/mni152_recurrences.nii.gz",
        "segmented/results.jsonl",
        "segmented/manifest.jsonl",
        "segmented/summary.json",
        "metrics.csv",
        "metrics_summary.json",
        "report.html",
    }
    assert said[0] == "1/4 scanning the embedded head: 30% of k-space, 10% noise"
    assert [line[:3] for line in said if line[1:2] == "/"] == ["1/4", "2/4", "3/4", "4/4"]
    table = next(line for line in said if line.startswith("class"))
    assert [line.split()[0] for line in table.splitlines()] == ["class", "CSF", "GM", "WM", "average"]
    assert f"open {tmp_path / 'out' / 'report.html'} in a browser" in said[-1]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") >= 2 or page.count("data:image/png") >= 2


def test_a_second_demo_gives_the_same_numbers(
    settings: SimulationSettings, tiny_bundle: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        assert run_demo(tmp_path / "out", str(tiny_bundle), settings, lambda _: None) == 0
        numbers = (tmp_path / "out" / "metrics.csv").read_bytes()
    run_demo(tmp_path / "other", str(tiny_bundle), settings, lambda _: None)
    assert (tmp_path / "other" / "metrics.csv").read_bytes() == numbers


def test_without_weights_nothing_is_started(settings: SimulationSettings, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(InputError, match=r"^nowhere: read bundle: expected one of "):
        run_demo(tmp_path / "out", "nowhere", settings, said.append)
    assert said == []
    assert not (tmp_path / "out").exists()


def test_a_segmentation_that_fails_ends_the_demo(
    settings: SimulationSettings, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kseg.pipelines.segmentation._SMALLEST", 1.0)
    said: list[str] = []
    assert run_demo(tmp_path / "out", str(tiny_bundle), settings, said.append) == 1
    assert said[-1].startswith("2/4")
    assert not (tmp_path / "out" / "report.html").exists()


def test_the_shipped_weights_segment_the_embedded_head(tmp_path: Path) -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("kseg"), "demo", "out"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"open {tmp_path / 'out' / 'report.html'} in a browser" in ended.stdout
    summary = json.loads((tmp_path / "out" / "metrics_summary.json").read_text())
    dice = {item["class_name"]: item["sample_dice"] for item in summary["classes"]}
    assert all(value > 0.85 for value in dice.values()), dice
