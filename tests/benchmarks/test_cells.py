"""The files of single networks: what is packed is what another folder of runs goes on from."""

import dataclasses
import tarfile
from collections.abc import Callable
from pathlib import Path

from paper.cells import write_records
from paper.experiment import read_cells, run_cells
from paper.grid import Cell
from paper.seranet_experiment import SeranetExperiment

DONE = Cell("joint", "cascade", 1, 0.1, 0)
MISSING = Cell("joint", "cascade", 1, 0.1, 1)


def test_what_is_packed_need_not_be_run_again(
    experiment: SeranetExperiment, make_up: Callable[..., None], trainer: Path, tmp_path: Path
) -> None:
    make_up(DONE, 0.8, 0.7, 0.9)
    outcomes = read_cells(experiment, [DONE, MISSING])
    write_records(tmp_path / "records.tar.gz", experiment, outcomes)
    elsewhere = dataclasses.replace(experiment, runs=tmp_path / "elsewhere")
    with tarfile.open(tmp_path / "records.tar.gz") as archive:
        archive.extractall(elsewhere.runs, filter="data")
    read = read_cells(elsewhere, [DONE, MISSING])
    assert read == outcomes
    assert [item.sample_dice for item in read[DONE].classes] == [0.8, 0.7, 0.9]
    assert run_cells(elsewhere, [DONE]) == {}
    assert (trainer / "calls").read_text() == ""


def test_the_same_records_are_the_same_archive(
    experiment: SeranetExperiment, make_up: Callable[..., None], tmp_path: Path
) -> None:
    make_up(DONE, 0.8, 0.7, 0.9)
    for name in ("a.tar.gz", "b.tar.gz"):
        write_records(tmp_path / name, experiment, read_cells(experiment, [MISSING, DONE]))
        (experiment.folder(DONE) / "result.json").touch()
    first, second = ((tmp_path / name).read_bytes() for name in ("a.tar.gz", "b.tar.gz"))
    assert first == second
