"""The driver as users run it: a tiny grid from label maps to tables, resumed, and with damage."""

import csv
import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import paper
import paper_tables
import pytest
from paper.budget import Heads

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
METHODS = ["zero_filling", "fully_sampled", "two_step", "seranet_3"]


def drive(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / "paper_tables.py", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, timeout=900, check=False
    )


def test_a_tiny_grid_from_label_maps_to_tables(small_label_maps: Path, tmp_path: Path) -> None:
    text = (BENCHMARKS / "paper/budgets/smoke.yaml").read_text()
    for old, new in (
        ("noises: [0.1, 0.2]", "noises: [0.1]"),
        ("blocks: [cascade, autoencoder]", "blocks: [autoencoder]"),
        ("figure6_blocks: [1, 2]", "figure6_blocks: [1]"),
    ):
        assert old in text
        text = text.replace(old, new)
    budget, runs, output = tmp_path / "tiny.yaml", tmp_path / "runs", tmp_path / "results"
    budget.write_text(text)
    places = ("--heads", small_label_maps, "--runs", runs, "--output", output)
    ended = drive("--budget", budget, *places, "--only", *METHODS)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(f"10 of 10 cells done; results in {output}\n")
    with (output / "cells.csv").open() as file:
        cells = {line["method"]: line for line in csv.DictReader(file) if not line["scan"]}
    assert all(0 <= float(cells[name]["CSF_dice"]) <= 1 for name in METHODS)
    assert {cells[name]["slices_seen"] for name in METHODS} == {"8"}
    assert all(0 < float(cells[name]["structures_expected_calibration_error"]) < 1 for name in METHODS)
    assert not list(runs.rglob("*_prob.nii.gz"))
    assert cells["joint"]["missing"] == "not run"
    with (output / "scans.csv").open() as file:
        dice = [line["average_dice"] for line in csv.DictReader(file) if line["method"] == "SERANet-3 (B)"]
    assert len(dice) == 7
    assert all(dice)
    # Fully-sampled and SERANet-3 share the scans with all lines.
    assert len(list((runs / "scans").iterdir())) == 7
    assert (output / "figure5.png").stat().st_size > 10_000
    trained = {path: path.stat().st_mtime_ns for path in runs.rglob("done.json")}
    assert sum("stages" in path.parts for path in trained) == 5

    # Damage is named, in the tables too, and costs itself alone; nothing is trained twice.
    (damaged,) = (runs / "cells").glob("zero_filling-*/result.json")
    damaged.write_text("{")
    ended = drive("--budget", budget, *places, "--only", *METHODS)
    assert ended.returncode == 1
    assert "zero_filling-noise_0.1-seed_0: missing: " in ended.stderr
    assert "9 of 10 cells done" in ended.stdout
    table = (output / "table1.md").read_text()
    assert f"| Zero-filling | missing: {damaged.relative_to(runs)}: read record: " in table
    assert {path: path.stat().st_mtime_ns for path in trained} == trained


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--only", "seranet_4"), "invalid choice: 'seranet_4'"),
        ((), "find heads: expected at least 3 label maps, received 0"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], told: str, tmp_path: Path, capsys) -> None:
    places = ["--heads", str(tmp_path), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit, match="2"):
        paper_tables.main(["--budget", "smoke", *places, *arguments])
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_too_few_epochs_are_told_before_anything_runs(heads: Heads, tmp_path: Path, capsys) -> None:
    text = (BENCHMARKS / "paper/budgets/smoke.yaml").read_text()
    (tmp_path / "own.yaml").write_text(text.replace("epochs: 4", "epochs: 2"))
    places = ["--heads", str(tmp_path / "heads"), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit, match="2"):
        paper_tables.main(["--budget", str(tmp_path / "own.yaml"), *places])
    assert "budget: expected an epoch for each of 3 stages, received 2 epochs" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_without_runs_the_tables_tell_what_is_missing(heads: Heads, tmp_path: Path, capsys) -> None:
    places = [
        "--heads",
        str(tmp_path / "heads"),
        "--runs",
        str(tmp_path / "runs"),
        "--output",
        str(tmp_path / "out"),
    ]
    code = paper_tables.main(["--budget", "smoke", *places, "--only", "joint", "--seeds", "5", "--no-runs"])
    assert code == 1
    told = capsys.readouterr()
    assert told.out.startswith("0 of 4 cells done")
    assert told.err.count(": missing: not run") == 4
    assert "joint-autoencoder_1-noise_0.2-seed_5" in (tmp_path / "out/table2.csv").read_text()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", sorted(info.name for info in pkgutil.iter_modules(paper.__path__)))
def test_examples_show_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"paper.{name}")).failed == 0
