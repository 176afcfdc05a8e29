"""Trainings as processes: what they are told, what they leave, and each way to fail."""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from paper.experiment import read_cells, run_cells
from paper.grid import Cell
from paper.records import locked
from paper.seranet_experiment import SeranetExperiment
from paper.training import finished, train, weights_of

from kseg.transforms.errors import InputError

CELL = Cell("two_step", "cascade", 1, 0.1, 0)


def calls(trainer: Path) -> int:
    return len((trainer / "calls").read_text().splitlines())


def test_a_training_is_done_once_and_recorded(experiment: SeranetExperiment, trainer: Path) -> None:
    first, second = experiment.plan(CELL)
    record = train(first, experiment.runs, 0)
    assert (record["epochs"], record["slices_seen"], record["seconds"]) == (1, 2, 4.5)
    assert record["arguments"]["noise"] == [0.1, 0.1]
    assert torch.equal(torch.load(weights_of(first, experiment.runs))["weight"], torch.ones(2))
    folder = weights_of(first, experiment.runs).parent
    assert not (folder / "resume.pt").exists()
    assert (folder / "environment").read_text() == str(2**33)
    assert train(first, experiment.runs, 0)["seconds"] == record["seconds"]
    assert calls(trainer) == 1
    train(second, experiment.runs, 0)
    told = json.loads((weights_of(second, experiment.runs).parent / "arguments.json").read_text())
    assert told["warm_start"] == {"reconstruction": str(weights_of(first, experiment.runs).resolve())}


def test_the_test_heads_are_kept_from_the_training(experiment: SeranetExperiment, trainer: Path) -> None:
    (first, _) = experiment.plan(CELL)
    train(first, experiment.runs, 3)
    told = json.loads((weights_of(first, experiment.runs).parent / "arguments.json").read_text())
    names = [Path(path).name for path in told["label_maps"]]
    assert names[: -told["validation_heads"]] == ["a.nii.gz", "b.nii.gz"]
    assert "c.nii.gz" not in names
    assert told["val_interval"] > told["epochs"]
    assert told["num_workers"] == 3
    assert [Path(path).name for path in told["config_file"]] == ["train.json", "reconstruction.json"]


def test_the_environment_of_the_user_goes_first(experiment, trainer, monkeypatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    (first, _) = experiment.plan(CELL)
    train(first, experiment.runs, 0)
    assert (weights_of(first, experiment.runs).parent / "environment").read_text() == "1"


def test_a_training_that_fails_says_its_last_line(experiment: SeranetExperiment, trainer: Path) -> None:
    (trainer / "mode").write_text("fail")
    (first, _) = experiment.plan(CELL)
    with pytest.raises(
        InputError, match=r"output.log: train: expected exit code 0, received 1: RuntimeError: out"
    ):
        train(first, experiment.runs, 0)
    assert finished(first, experiment.runs) is None
    (trainer / "mode").write_text("none")
    train(first, experiment.runs, 0)
    assert calls(trainer) == 2


def test_a_training_that_ends_early_is_not_finished(experiment: SeranetExperiment, trainer: Path) -> None:
    (trainer / "mode").write_text("early")
    (_, second) = experiment.plan(CELL)
    second.warm_start.clear()
    with pytest.raises(InputError, match="expected 3 epochs, received 1"):
        train(second, experiment.runs, 0)
    assert finished(second, experiment.runs) is None


def test_a_missing_checkpoint_is_named(experiment: SeranetExperiment, trainer: Path) -> None:
    first, second = experiment.plan(CELL)
    with pytest.raises(InputError, match=r"weights.pt: train: expected weights to start from"):
        train(second, experiment.runs, 0)
    train(first, experiment.runs, 0)
    weights_of(first, experiment.runs).unlink()
    for training in (first, second):
        with pytest.raises(
            InputError, match=r"weights.pt: read record: expected a file, received No such file"
        ):
            train(training, experiment.runs, 0)


def test_the_record_of_another_training_is_named(experiment: SeranetExperiment, trainer: Path) -> None:
    (first, _) = experiment.plan(CELL)
    train(first, experiment.runs, 0)
    first.arguments["n_blocks"] = 7
    with pytest.raises(
        InputError, match=r"done.json: train: expected arguments .*'n_blocks': 7.*, received .*: 1"
    ):
        finished(first, experiment.runs)


def test_a_training_that_goes_on_with_other_code_says_both(
    experiment: SeranetExperiment, trainer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _) = experiment.plan(CELL)
    for code, mode in (("b", "fail"), ("a", "none")):
        (trainer / "mode").write_text(mode)
        monkeypatch.setattr("paper.training.commit", lambda code=code: code)
        with nullcontext() if mode == "none" else pytest.raises(InputError):
            train(first, experiment.runs, 0)
    record = finished(first, experiment.runs)
    assert record is not None
    assert record["commits"] == ["a", "b"]
    assert len(record["hardware"]) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_a_driver_that_is_ended_ends_the_training_first(experiment: SeranetExperiment, trainer: Path) -> None:
    (trainer / "mode").write_text("sleep")
    (first, _) = experiment.plan(CELL)
    folder = weights_of(first, experiment.runs).parent

    def end(*_: object) -> None:
        if (folder / "ready").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise SystemExit(143)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(SystemExit):
            train(first, experiment.runs, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (folder / "saved").exists()


def test_a_training_that_another_driver_has_is_waited_for(
    experiment: SeranetExperiment, trainer: Path
) -> None:
    (first, _) = experiment.plan(CELL)
    (trainer / "mode").write_text("slow")
    with ThreadPoolExecutor(2) as drivers:
        records = list(drivers.map(lambda _: train(first, experiment.runs, 0)["epochs"], range(2)))
    assert records == [1, 1]
    assert calls(trainer) == 1


def test_a_training_that_another_driver_has_is_left_to_it_where_there_is_other_work(
    experiment: SeranetExperiment,
    trainer: Path,
    make_up: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluated = []

    def evaluate(cell: Cell, *_: object) -> None:
        evaluated.append(cell)
        make_up(cell, 0.8, 0.8, 0.8)

    monkeypatch.setattr("paper.seranet_experiment.simulate_test_heads", lambda *_: Path("scans"))
    monkeypatch.setattr("paper.experiment.evaluate_cell", evaluate)
    (trainer / "mode").write_text("slow")
    cells = [Cell(name, "cascade", 1, 0.1, 0) for name in ("joint", "seranet_3")]
    folder = weights_of(experiment.plan(cells[0])[0], experiment.runs).parent
    with locked(folder), pytest.raises(BlockingIOError):
        experiment.run(cells[0], wait=False)
    with ThreadPoolExecutor(2) as drivers:
        both = list(drivers.map(lambda _: run_cells(experiment, cells), range(2)))
    assert both == [{}, {}]
    assert calls(trainer) == 2
    assert sorted(cell.method for cell in evaluated) == ["joint", "seranet_3"]
    assert "  another driver has it\n" in capsys.readouterr().out


def test_a_cell_that_fails_is_named_and_the_others_go_on(
    experiment: SeranetExperiment, trainer: Path, monkeypatch, capsys
) -> None:
    evaluated = []
    monkeypatch.setattr("paper.seranet_experiment.simulate_test_heads", lambda *_: Path("scans"))
    monkeypatch.setattr(
        "paper.experiment.evaluate_cell",
        lambda cell, _, inference, *__: evaluated.append((cell, inference.settings.recurrences)),
    )
    (trainer / "mode").write_text("joint")
    cells = [Cell(name, "cascade", 1, 0.1, 0) for name in ("joint", "seranet_3", "two_step")]
    failures = run_cells(experiment, cells)
    assert list(failures) == cells[:1]
    assert evaluated == [(cells[1], True), (cells[2], False)]
    assert capsys.readouterr().err.startswith("joint-cascade_1-noise_0.1-seed_0: ")
    # What failed in an earlier run is told too.
    outcome = read_cells(experiment, cells)[cells[0]]
    assert "expected exit code 0, received 1: RuntimeError: out of memory" in outcome.missing
    (trainer / "mode").write_text("none")
    assert run_cells(experiment, cells) == {}
    assert read_cells(experiment, cells)[cells[0]].missing == "not run"


def test_a_cell_that_another_driver_evaluates_is_waited_for(
    experiment: SeranetExperiment,
    trainer: Path,
    make_up: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluated = []

    def evaluate(cell: Cell, *_: object) -> None:
        evaluated.append(cell)
        time.sleep(0.5)
        make_up(cell, 0.8, 0.8, 0.8)

    monkeypatch.setattr("paper.seranet_experiment.simulate_test_heads", lambda *_: Path("scans"))
    monkeypatch.setattr("paper.experiment.evaluate_cell", evaluate)
    with ThreadPoolExecutor(2) as drivers:
        list(drivers.map(lambda _: experiment.run(CELL), range(2)))
    assert evaluated == [CELL]
