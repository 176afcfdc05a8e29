"""Handlers that make a training safe: seeds by epoch, checkpoints, signals, non-finite losses."""

import atexit
import json
import logging
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from kseg.networks.warm_start import load_exactly, read_checkpoint
from kseg.pipelines.slices import EpochSampler
from kseg.pipelines.split_batches import SplitBatches
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

_logger = logging.getLogger(__name__)
_RESUME = "resume training"


class SeedByEpoch:
    """Tell the sampler where the training stands, so that a resumed run sees what an uninterrupted one would.

    Args:
        sampler: gives the items of each epoch.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def attach(self, engine: Workflow) -> None:
        """Listen to the beginning of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)

    def _begin(self, engine: Workflow) -> None:
        self.sampler.epoch = engine.state.epoch - 1
        loader = engine.state.dataloader
        batches_done = engine.state.iteration % engine.state.epoch_length
        if isinstance(loader, SplitBatches):
            batches_done, loader.skip = divmod(batches_done, loader.n_parts)
            loader = loader.loader
        self.sampler.start = batches_done * loader.batch_size


class StopOnNonFiniteLoss:
    """End a training with an error as soon as its loss is not a finite number, before the weights follow it."""

    def attach(self, engine: Workflow) -> None:
        """Listen to every loss, before it is propagated back."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check)

    def _check(self, engine: Workflow) -> None:
        loss = step_loss(engine)
        if not math.isfinite(loss):
            raise RuntimeError(
                f"training: expected a finite loss, received {loss} "
                f"in epoch {engine.state.epoch}, iteration {engine.state.iteration}"
            )


class ResumableTraining:
    """Keep a training resumable: everything after each epoch and on SIGTERM, the best weights besides.

    `FOLDER/resume.pt` holds network, optimiser, schedule, progress and best metric; `FOLDER/model.pt` the weights
    with the best validation metric. Both are replaced in one step, so a kill at any moment loses at most the
    epoch in progress. SIGTERM ends the training with exit code 143 after the current iteration and loses
    nothing; in the last iteration of an epoch validation comes first. Either way the resumed training ends with
    the weights that an uninterrupted one ends with. A training without a value of the metric has no best weights and
    ends with a warning. The weights after each of the last epochs can be kept as well, `FOLDER/epoch_0012.pt` and so
    on.

    Args:
        folder: where the files are; made if missing.
        network: the network in training.
        optimizer: its optimiser.
        scheduler: its learning-rate schedule.
        evaluator: engine whose `state.metrics[metric]` is the validation metric, larger is better.
        metric: name of the metric.
        resume: continue from `resume.pt` if it is there; else a run that would overwrite one is an error.
        keep_last: of how many epochs the weights are kept, 0 or more.

    Raises:
        ValueError: a negative number of epochs.
        InputError: `resume.pt` does not fit, it exists and resume is off, or not all processes see the same one.
    """

    def __init__(
        self,
        folder: str,
        network: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        evaluator: Engine,
        metric: str,
        resume: bool = True,
        keep_last: int = 0,
    ) -> None:
        if keep_last < 0:
            raise ValueError(f"keep last: expected 0 or more epochs, received {keep_last}")
        self.folder = Path(folder)
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.evaluator = evaluator
        self.metric = metric
        self.resume = resume
        self.keep_last = keep_last
        self.best = -math.inf
        self.stopping = False
        self._handled_before: Any = None

    def attach(self, engine: Workflow) -> None:
        """Listen to start, iterations, epochs and end; SIGTERM is handled while the engine runs."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.STARTED, self._listen_last)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._complete_iteration)
        engine.add_event_handler(Events.COMPLETED, self._complete)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _listen_last(self, engine: Workflow) -> None:
        # Added when all others are: what they write of an epoch is there before the state from which it is not
        # repeated, and they have heard of the end when this one leaves.
        if not engine.has_event_handler(self._exit):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._complete_epoch)
            engine.add_event_handler(Events.TERMINATE, self._exit)

    def _start(self, engine: Workflow) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "resume.pt"
        if path.exists():
            if not self.resume:
                raise InputError(
                    path, "start training", "a folder without an earlier training", "one to resume"
                )
            self._load(path, engine)
        self._require_one_state(path, engine)
        self._handled_before = signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        _logger.warning("SIGTERM: saving after this iteration")
        self.stopping = True

    def _load(self, path: Path, engine: Workflow) -> None:
        saved = read_checkpoint(path, _RESUME)
        try:
            load_exactly(self.network, saved["network"], path, _RESUME)
            self.optimizer.load_state_dict(saved["optimizer"])
            self.scheduler.load_state_dict(saved["scheduler"])
            epoch, batch, self.best = saved["epoch"], saved.get("batch", 0), saved["best"]
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            received = f"{type(error).__name__}: {error}"
            raise InputError(path, _RESUME, "a checkpoint of this configuration", received) from error
        length = saved.get("epoch_length", engine.state.epoch_length)
        if batch and length != engine.state.epoch_length:
            expected = f"{length} iterations per epoch until the interrupted one is over"
            raise InputError(path, _RESUME, expected, str(engine.state.epoch_length))
        engine.state.epoch = epoch
        engine.state.iteration = epoch * engine.state.epoch_length + batch
        _logger.info("resuming after epoch %d, batch %d from %s", epoch, batch, path)

    def _require_one_state(self, path: Path, engine: Workflow) -> None:
        """Make sure that all processes of a training go on from the same point."""
        if not (dist.is_available() and dist.is_initialized()):
            return
        states: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(states, (engine.state.epoch, engine.state.iteration, self.best))
        for process, state in enumerate(states):
            if state != states[0]:
                expected, received = (
                    f"epoch {epoch}, iteration {iteration}, best {self.metric} {best:g}"
                    for epoch, iteration, best in (states[0], state)
                )
                expected = f"the state of the first process in all of them, {expected}"
                raise InputError(path, _RESUME, expected, f"{received} in process {process}")

    def _complete_iteration(self, engine: Workflow) -> None:
        # After the last iteration of an epoch come validation and schedule; the state is saved when they are done.
        if self.stopping and engine.state.iteration % engine.state.epoch_length:
            self._save_state(engine)

    def _complete_epoch(self, engine: Workflow) -> None:
        value = self.evaluator.state.metrics.get(self.metric)
        if value is not None and value > self.best:
            self.best = float(value)
            _save(self.network.state_dict(), self.folder / "model.pt")
        if self.keep_last:
            epoch = engine.state.epoch
            _save(self.network.state_dict(), self.folder / f"epoch_{epoch:04d}.pt")
            kept = {f"epoch_{number:04d}.pt" for number in range(epoch - self.keep_last + 1, epoch + 1)}
            for path in self.folder.glob("epoch_*.pt"):
                if path.name not in kept:
                    path.unlink()
        self._save_state(engine)

    def _save_state(self, engine: Workflow) -> None:
        epoch, batch = divmod(engine.state.iteration, engine.state.epoch_length)
        content = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": epoch,
            "batch": batch,
            "epoch_length": engine.state.epoch_length,
            "best": self.best,
        }
        _save(content, self.folder / "resume.pt")
        if self.stopping:
            engine.terminate()

    def _exit(self) -> None:
        if self.stopping:
            raise SystemExit(128 + signal.SIGTERM)

    def _complete(self) -> None:
        self._restore_signal()
        if not (self.folder / "model.pt").exists():
            _logger.warning(
                "no epoch had a value of %s: %s is not written", self.metric, self.folder / "model.pt"
            )

    def _fail(self, error: BaseException) -> None:
        # SystemExit too.
        self._restore_signal()
        raise error

    def _restore_signal(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._stop:
            # None stands for a handler that is not Python's.
            signal.signal(signal.SIGTERM, self._handled_before or signal.SIG_DFL)


def _save(content: dict[str, Any], path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


class SurviveSigterm:
    """Let a data worker live on when its whole process group is terminated, as schedulers of clusters do.

    The training needs it to finish the iteration, and the epoch's validation. It ends when the training is over or
    gone. Made in the training, called in each of its workers (`worker_init_fn`).
    """

    def __init__(self) -> None:
        # One of `spawn` goes into workers of every kind.
        self._over = multiprocessing.get_context("spawn").Event()
        # Registered after that of multiprocessing, so called before it terminates the workers and waits for them.
        atexit.register(self._over.set)

    def __call__(self, _worker: int) -> None:
        """Begin, in the worker."""
        maker = os.getppid()

        def end(*_: object) -> None:
            if self._over.is_set() or os.getppid() != maker:
                # Not an error to PyTorch, which watches how workers end.
                os._exit(0)

        signal.signal(signal.SIGTERM, end)


class ClippedGradients:
    """Limit the norm of the gradients, against the occasional huge step of a recurrent network.

    Args:
        network: the network in training.
        max_norm: largest 2-norm over all parameters.

    Raises:
        RuntimeError: during training, for gradients that are not finite.
    """

    def __init__(self, network: nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Workflow) -> None:
        """Listen to the end of each backward pass, before the optimiser steps."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._clip)

    def _clip(self) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm, error_if_nonfinite=True)


class EpochLog:
    """Write one line per epoch to a CSV file: epoch, mean loss, validation metric, learning rate, seconds.

    The metric of an epoch without validation is nan. An epoch that was interrupted by SIGTERM and resumed is one line
    for all of it; in between, `log.partial.json` beside `log.csv` keeps the part that is done. The line of an epoch
    that is repeated replaces the earlier one. In several processes the loss and the seconds are those of the first
    one, which is the only one to log; the metric is that of all.

    Args:
        path: the file; begun if missing.
        evaluator: engine whose `state.metrics[metric]` is the validation metric.
        metric: name of the metric.
        optimizer: whose learning rate is logged.
    """

    def __init__(self, path: str, evaluator: Engine, metric: str, optimizer: Optimizer) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.metric = metric
        self.optimizer = optimizer
        self.losses: list[float] = []
        self.partial = self.path.with_suffix(".partial.json")

    def attach(self, engine: Workflow) -> None:
        """Listen to iterations, epochs and an early end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iterate)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.TERMINATE, self._keep_part)
        engine.add_event_handler(Events.COMPLETED, self._forget_part)

    def _begin(self, engine: Workflow) -> None:
        part = json.loads(self.partial.read_text(encoding="utf-8")) if self.partial.exists() else {}
        # That of another checkpoint says nothing of this epoch.
        known = part.get("iteration") == engine.state.iteration
        if not known:
            self._forget_part()
        self.losses = part["losses"] if known else []
        self.began = time.monotonic() - (part["seconds"] if known else 0.0)
        self.rate = self.optimizer.param_groups[0]["lr"]

    def _iterate(self, engine: Workflow) -> None:
        self.losses.append(step_loss(engine))

    def _keep_part(self, engine: Workflow) -> None:
        if engine.state.iteration % engine.state.epoch_length:
            seconds = time.monotonic() - self.began
            part = {"iteration": engine.state.iteration, "losses": self.losses, "seconds": seconds}
            with atomic_path(self.partial) as temporary:
                temporary.write_text(json.dumps(part), encoding="utf-8")

    def _forget_part(self) -> None:
        self.partial.unlink(missing_ok=True)

    def _write(self, engine: Workflow) -> None:
        validated = self.evaluator.state.epoch == engine.state.epoch
        metric = self.evaluator.state.metrics[self.metric] if validated else math.nan
        loss = sum(self.losses) / len(self.losses)
        seconds = time.monotonic() - self.began
        _logger.info(
            "epoch %d: loss %.4f, %s %.4f, %.0f s", engine.state.epoch, loss, self.metric, metric, seconds
        )
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        lines = {line.partition(",")[0]: line for line in text.splitlines()}
        lines.setdefault("epoch", f"epoch,loss,{self.metric},learning_rate,seconds")
        epoch = str(engine.state.epoch)
        lines[epoch] = f"{epoch},{loss:.5f},{metric:.5f},{self.rate:g},{seconds:.1f}"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")


def step_loss(engine: Workflow) -> float:
    """Loss of the current iteration."""
    output = engine.state.output
    # MONAI's decollation gives every item of a batch its copy, as a number.
    return float(torch.as_tensor((output[0] if isinstance(output, list) else output)["loss"]).item())
