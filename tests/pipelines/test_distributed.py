"""What each process does before an evaluation and on resuming; that two agree is shown with the bundle."""

import math
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import Tensor, nn

from kseg.pipelines.distributed import FirstProcessBuffers, ResumedTraining
from kseg.pipelines.training import ResumableTraining
from kseg.transforms.errors import InputError

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_buffers_are_those_of_the_first_process_before_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    of_first = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor(5)]
    waiting = iter(of_first)

    def receive(tensor: Tensor, src: int) -> None:
        assert src == 0
        tensor.copy_(next(waiting))

    monkeypatch.setattr(dist, "broadcast", receive)
    received: list[Tensor] = []
    evaluator = Engine(
        lambda _engine, _batch: received.extend(buffer.clone() for buffer in network.buffers())
    )
    FirstProcessBuffers(network).attach(evaluator)
    evaluator.run([None])
    assert all(torch.equal(one, other) for one, other in zip(received, of_first, strict=True))


class Run:
    """Epochs of one step each, with the handler of the first process or of another."""

    def __init__(self, folder: Path, kind: type[ResumableTraining]) -> None:
        self.network = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        evaluator = Engine(lambda _engine, _batch: None)
        self.engine = Engine(lambda _engine, _batch: self.network.weight.data.add_(1))
        evaluator.state.metrics["dice"] = 0.5
        kind(str(folder), self.network, optimizer, scheduler, evaluator, "dice").attach(self.engine)
        self.epochs: list[int] = []
        self.engine.add_event_handler(
            Events.EPOCH_STARTED, lambda: self.epochs.append(self.engine.state.epoch)
        )

    def __call__(self, epochs: int) -> "Run":
        self.engine.run([None], max_epochs=epochs, epoch_length=1)
        return self


def test_other_processes_resume_and_write_nothing(tmp_path: Path) -> None:
    first = Run(tmp_path, ResumableTraining)(epochs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["model.pt", "resume.pt"]
    other = Run(tmp_path, ResumedTraining)(epochs=3)
    assert other.epochs == [3]
    assert torch.equal(other.network.weight, first.network.weight + 1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_processes_leave_sigterm_to_the_first(tmp_path: Path) -> None:
    run = Run(tmp_path, ResumedTraining)
    run.engine.add_event_handler(
        Events.ITERATION_STARTED(once=1), lambda: signal.raise_signal(signal.SIGTERM)
    )
    assert run(epochs=2).epochs == [1, 2]
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("kind", [ResumableTraining, ResumedTraining])
def test_all_processes_have_to_see_the_same_checkpoint(
    kind: type[ResumableTraining], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(tmp_path / "first", ResumableTraining)(epochs=2)
    others: list[tuple[int, int, float]] = []

    def gather(states: list[object], own: object) -> None:
        states[:] = [own, *others]

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 1 + len(others))
    monkeypatch.setattr(dist, "all_gather_object", gather)
    others[:] = [(2, 2, 0.5)] * 2
    assert Run(tmp_path / "first", kind)(epochs=3).epochs == [3]
    before = signal.getsignal(signal.SIGTERM)
    shutil.rmtree(tmp_path / "first")
    others[:] = [(0, 0, -math.inf), (2, 2, 0.5)]
    path = tmp_path / "first" / "resume.pt"
    message = (
        f"{path}: resume training: expected the state of the first process in all of them, epoch 0, iteration 0, "
        "best dice -inf, received epoch 2, iteration 2, best dice 0.5 in process 2"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Run(tmp_path / "first", kind)(epochs=3)
    assert signal.getsignal(signal.SIGTERM) == before
