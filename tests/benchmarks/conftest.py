"""An experiment that is small enough to be made up: its heads, its budget, its results."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow, write_metrics
from kseg.transforms.nifti import write_nifti

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import paper.training  # noqa: E402
from paper.budget import Budget, Heads, load_budget, split_heads  # noqa: E402
from paper.grid import Cell, load_grid  # noqa: E402
from paper.records import write_record  # noqa: E402
from paper.rows import CALIBRATION  # noqa: E402
from paper.seranet_experiment import SeranetExperiment  # noqa: E402

MakeUp = Callable[..., None]


# Stands in for MONAI: leaves what a training leaves, or fails where the folder's name asks for it.
PROGRAM = """
import json, os, pathlib, shutil, signal, sys, time
arguments = json.loads(pathlib.Path("arguments.json").read_text())
output = pathlib.Path(arguments["output_dir"])
here = pathlib.Path(__file__).parent
mode = (here / "mode").read_text()
with open(here / "calls", "a") as calls:
    calls.write(output.name + "\\n")
if mode == "fail" or mode in output.name:
    print("Traceback ...")
    sys.exit("RuntimeError: out of memory")
if mode == "sleep":
    signal.signal(signal.SIGTERM, lambda *_: (output.joinpath("saved").touch(), sys.exit(143)))
    output.joinpath("ready").touch()
    time.sleep(60)
if mode == "slow":
    time.sleep(0.5)
epoch = 1 if mode == "early" else arguments["epochs"]
shutil.copy(here / f"epoch_{epoch}.pt", output / "resume.pt")
rows = ["epoch,loss,volume_dice,learning_rate,seconds", "1,0.5,nan,0.001,2.5", "2,0.4,nan,0.001,2.0"]
(output / "log.csv").write_text("\\n".join(rows))
(output / "environment").write_text(os.environ["MALLOC_TRIM_THRESHOLD_"])
"""


@pytest.fixture
def budget() -> Budget:
    """The smoke budget with three seeds."""
    return dataclasses.replace(load_budget("smoke"), seeds=(0, 1, 2))


@pytest.fixture
def heads(tmp_path: Path, budget: Budget) -> Heads:
    """Three heads that nobody reads."""
    folder = tmp_path / "heads"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.nii.gz").write_bytes(b"head")
    return split_heads(folder, budget)


@pytest.fixture
def experiment(budget: Budget, heads: Heads, tmp_path: Path) -> SeranetExperiment:
    """The paper's grid, with nothing run yet."""
    return SeranetExperiment(load_grid(), heads, tmp_path / "runs", budget)


@pytest.fixture
def make_up(experiment: SeranetExperiment) -> MakeUp:
    """Write the result of a cell as if it had been run: Dice of CSF, GM and WM, distances of 1, 2 and 3 mm.

    The calibration error is a tenth of the first Dice, half of that over all voxels, if there is one.
    """

    def write(cell: Cell, *dice: float, calibrated: bool = True) -> None:
        folder = experiment.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            MetricsRow("c", number, name, StructureMetrics(value, number, number / 2, 1.0, 1.0))
            for number, (name, value) in enumerate(zip(("CSF", "GM", "WM"), dice, strict=True), start=1)
        ]
        write_metrics(folder / "metrics.csv", rows)
        content = {
            "trainings": [training.name for training in experiment.plan(cell)],
            "cases": ["c"],
            "calibration": dict(zip(CALIBRATION, (dice[0] / 20, dice[0] / 10), strict=True))
            if calibrated
            else {},
            "seconds": {"training": 1800.0, "evaluation": 1800.0},
            "slices_seen": 6,
            "commits": ["0123456789ab"],
            "hardware": ["a processor"],
        }
        write_record(folder / "result.json", content, {"metrics": folder / "metrics.csv"})

    return write


@pytest.fixture(scope="session")
def small_label_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the label maps of three heads made of ellipsoids, 3 mm."""
    folder = tmp_path_factory.mktemp("label_maps")
    shells = {511: (84, 102, 90), 24: (73, 91, 79), 3: (66, 84, 72), 2: (50, 66, 54), 4: (16, 30, 14)}
    for name, scale in (("a", 1.0), ("b", 0.93), ("c", 0.96)):
        axes = [(np.arange(n) - (n - 1) / 2) * 3.0 / scale for n in (60, 72, 64)]
        grid = np.meshgrid(*axes, indexing="ij")
        labels = np.zeros(grid[0].shape, np.float32)
        for code, sizes in shells.items():
            labels[sum((axis / size) ** 2 for axis, size in zip(grid, sizes, strict=True)) < 1] = code
        write_nifti(folder / f"{name}.nii.gz", labels, np.diag([3.0, 3.0, 3.0, 1.0]))
    return folder


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the stand-in: `mode` says what it does, `calls` what it did."""
    folder = tmp_path / "trainer"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "mode").write_text("none")
    (folder / "calls").touch()
    # Here and not in the program: to import torch takes longer than all the rest.
    for epoch in range(1, 5):
        torch.save({"epoch": epoch, "network": {"weight": torch.ones(2)}}, folder / f"epoch_{epoch}.pt")
    monkeypatch.setattr(paper.training, "COMMAND", (sys.executable, str(folder / "program.py")))
    return folder
