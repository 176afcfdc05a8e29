"""Training handlers on a small engine. Whole trainings, as processes, are in test_training_process.py."""

import json
import math
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kseg.pipelines.slices import EpochItem, EpochSampler
from kseg.pipelines.split_batches import SplitBatches
from kseg.pipelines.training import (
    ClippedGradients,
    EpochLog,
    ResumableTraining,
    SeedByEpoch,
    StopOnNonFiniteLoss,
)
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError


class Items(Dataset[dict[str, Tensor]]):
    """Small items that differ from epoch to epoch."""

    def __init__(self) -> None:
        self.drawn: list[EpochItem] = []

    def __getitem__(self, item: EpochItem) -> dict[str, Tensor]:
        self.drawn.append(item)
        image = torch.linspace(-1, 1, 3) * (1 + item[1]) / (1 + item[0])
        return {"image": image, "label": image.flip(0)}


class Run:
    """A small training, three iterations per epoch, with everything attached as in a bundle."""

    def __init__(
        self,
        folder: Path,
        epochs: int = 3,
        val_interval: int = 1,
        resume: bool = True,
        batch_size: int = 2,
        parts: int = 1,
        keep_last: int = 0,
    ) -> None:
        self.items = Items()
        loader = DataLoader(self.items, batch_size, sampler=EpochSampler(6, seed=1))
        batches = SplitBatches(loader, 1, batch_size // parts) if parts > 1 else loader
        self.network = nn.Linear(3, 3)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.5)
        self.evaluator = SupervisedEvaluator("cpu", [None], self.network)
        self.log = folder / "log.csv"
        self.trainer = SupervisedTrainer("cpu", epochs, batches, self.network, self.optimizer, nn.MSELoss())
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED(every=val_interval), self.validate)
        for handler in (
            LrScheduleHandler(self.scheduler, print_lr=False),
            SeedByEpoch(loader.sampler),
            StopOnNonFiniteLoss(),
            ClippedGradients(self.network, 1.0),
            ResumableTraining(
                str(folder),
                self.network,
                self.optimizer,
                self.scheduler,
                self.evaluator,
                "metric",
                resume,
                keep_last,
            ),
            EpochLog(str(self.log), self.evaluator, "metric", self.optimizer),
        ):
            handler.attach(self.trainer)

    def validate(self) -> None:
        self.evaluator.state.epoch = self.trainer.state.epoch
        self.evaluator.state.metrics["metric"] = self.metric()

    def metric(self) -> float:
        return -float(self.network.weight.detach()[0, 0].abs())

    def on_iteration(self, iteration: int, action: Callable[[], None]) -> "Run":
        self.trainer.add_event_handler(Events.ITERATION_STARTED(once=iteration), action)
        return self

    def __call__(self) -> "Run":
        self.trainer.run()
        return self

    def lines(self) -> list[str]:
        """Lines of the log without the seconds."""
        return [line.rpartition(",")[0] for line in self.log.read_text().splitlines()]

    def state(self) -> list[Tensor]:
        momenta = [value for entry in self.optimizer.state.values() for value in entry.values()]
        return [*self.network.parameters(), *momenta, torch.tensor(self.scheduler.get_last_lr())]


@pytest.fixture(autouse=True)
def as_before(seeded: None) -> Iterator[None]:
    """Leave SIGTERM as it was, and let PyTorch draw initial weights."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise ConnectionError("the machine is gone")


def saved(folder: Path, name: str = "resume.pt") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / name, weights_only=True)
    return content


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("iteration", [1, 3, 4, 5, 6, 8, 9])
@pytest.mark.parametrize(("end", "error"), [(terminate, SystemExit), (crash, ConnectionError)])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(iteration, end, error, tmp_path):
    initial = torch.get_rng_state()
    whole = Run(tmp_path / "whole")()
    torch.set_rng_state(initial)
    first = Run(tmp_path / "parts").on_iteration(iteration, end)
    with pytest.raises(error):
        first()
    if not (tmp_path / "parts/resume.pt").exists():
        torch.set_rng_state(initial)
    second = Run(tmp_path / "parts")()
    assert equal(second.state(), whole.state())
    if end is terminate:
        assert first.items.drawn + second.items.drawn == whole.items.drawn
    best = saved(tmp_path / "whole", "model.pt"), saved(tmp_path / "parts", "model.pt")
    assert equal([*best[0].values()], [*best[1].values()])
    # A loss is the mean over both parts of an epoch.
    assert second.lines() == whole.lines()
    assert len(whole.lines()) == 4
    assert not (tmp_path / "parts/log.partial.json").exists()


@pytest.mark.parametrize("iteration", [7, 8, 9, 10])
def test_a_training_that_stops_between_two_steps_of_one_item_goes_on_with_the_next(iteration, tmp_path):
    initial = torch.get_rng_state()
    whole = Run(tmp_path / "whole", parts=2)()
    torch.set_rng_state(initial)
    with pytest.raises(SystemExit):
        Run(tmp_path / "parts", parts=2).on_iteration(iteration, terminate)()
    assert equal(Run(tmp_path / "parts", parts=2)().state(), whole.state())


def test_sigterm_is_told_by_the_exit_code_and_handled_only_while_the_training_runs(tmp_path):
    signal.signal(signal.SIGTERM, before := lambda *_: None)
    run = Run(tmp_path).on_iteration(5, terminate)
    with pytest.raises(SystemExit) as exit_info:
        run()
    assert exit_info.value.code == 143
    assert (saved(tmp_path)["epoch"], saved(tmp_path)["batch"]) == (1, 2)
    assert signal.getsignal(signal.SIGTERM) == before
    Run(tmp_path)()
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_is_handled_as_before_when_a_training_ends_by_an_error(tmp_path):
    signal.signal(signal.SIGTERM, before := lambda *_: None)
    with pytest.raises(ConnectionError, match="the machine is gone"):
        Run(tmp_path).on_iteration(5, crash)()
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_in_the_last_iteration_of_an_epoch_waits_for_its_validation(tmp_path):
    run = Run(tmp_path).on_iteration(3, terminate)
    with pytest.raises(SystemExit):
        run()
    assert (saved(tmp_path)["epoch"], saved(tmp_path)["batch"]) == (1, 0)
    assert saved(tmp_path)["best"] == run.metric()
    assert run.log.read_text().splitlines()[1].startswith("1,")


def test_the_schedule_is_saved_after_its_step(tmp_path):
    run = Run(tmp_path, epochs=2)()
    assert saved(tmp_path)["scheduler"]["last_epoch"] == 2
    assert saved(tmp_path)["optimizer"]["param_groups"][0]["lr"] == run.scheduler.get_last_lr()[0] == 0.025


def test_a_training_that_is_done_stays_so_and_more_epochs_go_on(tmp_path):
    done, again = Run(tmp_path, epochs=2)(), Run(tmp_path, epochs=2)()
    assert again.items.drawn == []
    assert equal(again.state(), done.state())
    longer = Run(tmp_path, epochs=3)()
    assert {epoch for epoch, _ in longer.items.drawn} == {2}


def test_the_best_weights_are_kept_over_an_interruption(tmp_path):
    weights: list[Tensor] = []
    for epochs, metrics in ((2, [0.5, math.nan]), (5, [0.7, 0.7, 0.6])):
        run, values = Run(tmp_path, epochs=epochs), iter(metrics)
        run.metric = lambda values=values: next(values)
        run.trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda run=run: weights.append(run.network.weight.detach().clone())
        )
        run()
    assert torch.equal(saved(tmp_path, "model.pt")["weight"], weights[2])
    assert saved(tmp_path)["best"] == 0.7


def test_the_weights_of_the_last_epochs_are_kept_over_an_interruption(tmp_path):
    weights: list[Tensor] = []
    for epochs in (2, 5):
        run = Run(tmp_path, epochs=epochs, keep_last=3)
        run.trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda run=run: weights.append(run.network.weight.detach().clone())
        )
        run()
    kept = sorted(path.name for path in tmp_path.glob("epoch_*.pt"))
    assert kept == ["epoch_0003.pt", "epoch_0004.pt", "epoch_0005.pt"]
    assert all(
        torch.equal(saved(tmp_path, name)["weight"], weight)
        for name, weight in zip(kept, weights[2:], strict=True)
    )
    Run(tmp_path, epochs=6, keep_last=1)()
    assert [path.name for path in tmp_path.glob("epoch_*.pt")] == ["epoch_0006.pt"]
    with pytest.raises(ValueError, match="keep last: expected 0 or more epochs, received -1"):
        Run(tmp_path, keep_last=-1)


def test_an_earlier_training_is_not_overwritten(tmp_path):
    Run(tmp_path, epochs=1, resume=False)()
    path = tmp_path / "resume.pt"
    message = f"{path}: start training: expected a folder without an earlier training, received one to resume"
    with pytest.raises(InputError, match=re.escape(message)):
        Run(tmp_path, resume=False)()


def damaged(content: dict[str, Any], change: str) -> object:
    if change == "network":
        return {**content, "network": {"weight": torch.zeros(3, 3)}}
    if change == "optimizer":
        return {
            **content,
            "optimizer": torch.optim.SGD([torch.zeros(1)], lr=1).state_dict() | {"param_groups": []},
        }
    if change == "scheduler":
        return {**content, "scheduler": 3}
    return {key: value for key, value in content.items() if key != change}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("network", "the 2 tensors of Linear, received 1 missing (bias), 0 left over (none)"),
        ("optimizer", "a checkpoint of this configuration, received ValueError: "),
        ("scheduler", "a checkpoint of this configuration, received "),
        ("epoch", "a checkpoint of this configuration, received KeyError: 'epoch'"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(change, expected, tmp_path):
    Run(tmp_path, epochs=1)()
    path = tmp_path / "resume.pt"
    torch.save(damaged(saved(tmp_path), change), path)
    with pytest.raises(InputError, match=re.escape(f"{path}: resume training: expected {expected}")) as info:
        Run(tmp_path)()
    assert "\n" not in str(info.value)


def test_batches_change_between_epochs_but_not_within_one(tmp_path):
    Run(tmp_path / "between", epochs=1)()
    assert Run(tmp_path / "between", batch_size=3)().trainer.state.iteration == 6
    with pytest.raises(SystemExit):
        Run(tmp_path / "within").on_iteration(2, terminate)()
    message = "expected 3 iterations per epoch until the interrupted one is over, received 2"
    with pytest.raises(InputError, match=message):
        Run(tmp_path / "within", batch_size=3)()


@pytest.mark.parametrize("content", [b"", b"nothing of the kind"])
def test_a_damaged_checkpoint_is_refused(content, tmp_path):
    path = tmp_path / "resume.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(f"{path}: resume training: expected ")):
        Run(tmp_path)()
    assert path.read_bytes() == content


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training_before_the_weights_follow(value, tmp_path):
    run = Run(tmp_path)
    loss = run.trainer.loss_function
    run.trainer.loss_function = lambda *pair: loss(*pair) + (value if run.trainer.state.iteration == 5 else 0)
    message = f"training: expected a finite loss, received {value} in epoch 2, iteration 5"
    with pytest.raises(RuntimeError, match=message):
        run()
    assert all(parameter.isfinite().all() for parameter in run.network.parameters())
    assert saved(tmp_path)["epoch"] == 1


def test_gradients_are_clipped_to_the_norm(tmp_path):
    run, norms = Run(tmp_path, epochs=1), []
    clipped = ClippedGradients(run.network, 1e-3)
    clipped.attach(run.trainer)

    def norm() -> None:
        norms.append(torch.cat([value.grad.flatten() for value in run.network.parameters()]).norm().item())

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, norm)
    run()
    assert norms == pytest.approx([1e-3] * 3, rel=1e-3)


def test_gradients_that_are_no_numbers_end_the_training(tmp_path):
    run = Run(tmp_path)
    run.trainer.loss_function = lambda pred, _: (0 * pred).sqrt().sum()
    with pytest.raises(RuntimeError, match="gradients from `parameters` is non-finite"):
        run()
    assert all(parameter.isfinite().all() for parameter in run.network.parameters())


def test_the_log_counts_the_seconds_of_both_parts_of_an_epoch(tmp_path):
    with pytest.raises(SystemExit):
        Run(tmp_path).on_iteration(5, terminate)()
    path = tmp_path / "log.partial.json"
    part = json.loads(path.read_text())
    assert (part["iteration"], len(part["losses"])) == (5, 2)
    path.write_text(json.dumps({**part, "seconds": part["seconds"] + 1000.0}))
    run = Run(tmp_path)()
    seconds = [float(line.rpartition(",")[2]) for line in run.log.read_text().splitlines()[1:]]
    assert [value >= 1000.0 for value in seconds] == [False, True, False]


@pytest.mark.parametrize("killed_at", ["log.csv", "resume.pt"])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_kill_while_an_epoch_is_written_costs_no_line_of_the_log(killed_at, epoch, tmp_path, monkeypatch):
    initial = torch.get_rng_state()
    whole = Run(tmp_path / "whole")()
    torch.set_rng_state(initial)
    run = Run(tmp_path / "parts")

    @contextmanager
    def killed(path: Path) -> Iterator[Path]:
        if path.name == killed_at and run.trainer.state.epoch == epoch:
            crash()
        with atomic_path(path) as temporary:
            yield temporary

    monkeypatch.setattr("kseg.pipelines.training.atomic_path", killed)
    with pytest.raises(ConnectionError):
        run()
    monkeypatch.undo()
    if epoch == 1:
        torch.set_rng_state(initial)
    assert Run(tmp_path / "parts")().lines() == whole.lines()
    assert [line.partition(",")[0] for line in whole.lines()] == ["epoch", "1", "2", "3"]


def test_a_training_without_best_weights_says_so(tmp_path, caplog):
    Run(tmp_path / "never", epochs=2, val_interval=3)()
    path = tmp_path / "never/model.pt"
    assert caplog.messages == [f"no epoch had a value of metric: {path} is not written"]
    assert saved(tmp_path / "never")["epoch"] == 2
    Run(tmp_path / "once", epochs=3, val_interval=3)()
    assert len(caplog.messages) == 1


def test_the_log_has_a_line_per_epoch(tmp_path):
    run, losses = Run(tmp_path, epochs=2, val_interval=2), []
    loss = run.trainer.loss_function

    def recorded(*pair: Tensor) -> Tensor:
        value: Tensor = loss(*pair)
        losses.append(value.item())
        return value

    run.trainer.loss_function = recorded
    run()
    lines = [line.split(",") for line in run.log.read_text().splitlines()]
    assert lines[0] == ["epoch", "loss", "metric", "learning_rate", "seconds"]
    assert [line[0] for line in lines[1:]] == ["1", "2"]
    means = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    assert [float(line[1]) for line in lines[1:]] == pytest.approx(means, abs=1e-5)
    assert math.isnan(float(lines[1][2]))
    assert float(lines[2][2]) == pytest.approx(run.metric(), abs=1e-5)
    assert [float(line[3]) for line in lines[1:]] == [0.1, 0.05]
