"""An experiment that is small enough to be made up: its heads, its budget, its results."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow, write_metrics
from kseg.transforms.nifti import write_nifti

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from paper.budget import Budget, Heads, load_budget, split_heads  # noqa: E402
from paper.evaluation import cell_folder  # noqa: E402
from paper.grid import Cell, load_grid  # noqa: E402
from paper.records import write_record  # noqa: E402
from paper.rows import CALIBRATION  # noqa: E402
from paper.seranet_experiment import SeranetExperiment  # noqa: E402

MakeUp = Callable[..., None]


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

    The calibration error is a tenth of the first Dice, half of that over all voxels; older results have none.
    """

    def write(cell: Cell, *dice: float, calibrated: bool = True) -> None:
        folder = cell_folder(cell, experiment.runs)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            MetricsRow("c", number, name, StructureMetrics(value, number, number / 2, 1.0, 1.0))
            for number, (name, value) in enumerate(zip(("CSF", "GM", "WM"), dice, strict=True), start=1)
        ]
        write_metrics(folder / "metrics.csv", rows)
        content = {
            "trainings": [training.name for training in experiment.plan(cell)],
            "test_heads": ["c"],
            "calibration": dict(zip(CALIBRATION, (dice[0] / 20, dice[0] / 10), strict=True)),
            "seconds": {"training": 1800.0, "evaluation": 1800.0},
            "slices_seen": 6,
            "commits": ["0123456789ab"],
            "hardware": ["a processor"],
        }
        if not calibrated:
            del content["calibration"]
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
