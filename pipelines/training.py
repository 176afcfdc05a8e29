"""Handlers that make a training safe: seeds by epoch, checkpoints, signals, non-finite losses."""

import logging
import math
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from kseg.pipelines.slices import EpochSampler
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

_logger = logging.getLogger(__name__)


class SeedByEpoch:
    """Tell the sampler which epoch begins, so that a resumed run sees what an uninterrupted one would.

    Args:
        sampler: gives the items of each epoch.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        """Listen to the beginning of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)

    def _begin(self, engine: Engine) -> None:
        self.sampler.epoch = engine.state.epoch - 1


class StopOnNonFiniteLoss:
    """End a training with an error as soon as its loss is not a finite number."""

    def attach(self, engine: Engine) -> None:
        """Listen to every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._check)

    def _check(self, engine: Engine) -> None:
        loss = step_loss(engine)
        if not math.isfinite(loss):
            raise RuntimeError(
                f"training: expected a finite loss, received {loss} "
                f"in epoch {engine.state.epoch}, iteration {engine.state.iteration}"
            )


class ResumableTraining:
    """Keep a training resumable: everything after each epoch and on SIGTERM, the best weights besides.

    `FOLDER/resume.pt` holds network, optimiser, schedule, epoch and best metric; `FOLDER/model.pt` the weights
    with the best validation metric. Both are replaced in one step, so a kill at any moment loses at most the
    epoch in progress. SIGTERM ends the training after the current iteration and saves; the interrupted epoch is
    then repeated from its beginning.

    Args:
        folder: where the two files are; made if missing.
        network: the network in training.
        optimizer: its optimiser.
        scheduler: its learning-rate schedule.
        evaluator: engine whose `state.metrics[metric]` is the validation metric, larger is better.
        metric: name of the metric.
        resume: continue from `resume.pt` if it is there; else a run that would overwrite one is an error.

    Raises:
        InputError: `resume.pt` does not fit, or it exists and resume is off.
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
    ) -> None:
        self.folder = Path(folder)
        self.parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
        self.evaluator = evaluator
        self.metric = metric
        self.resume = resume
        self.best = -math.inf

    def attach(self, engine: Engine) -> None:
        """Listen to start, epochs and termination; SIGTERM is handled while the engine runs."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._complete_epoch)
        engine.add_event_handler(Events.TERMINATE, self._terminate)

    def _start(self, engine: Engine) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "resume.pt"
        if path.exists():
            if not self.resume:
                raise InputError(
                    path, "start training", "a folder without an earlier training", "one that can be resumed"
                )
            self._load(path, engine)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            _logger.warning("SIGTERM: saving after this iteration")
            engine.terminate()

        signal.signal(signal.SIGTERM, stop)

    def _load(self, path: Path, engine: Engine) -> None:
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(saved[name])
            engine.state.epoch = saved["epoch"]
            self.best = saved["best"]
        except (RuntimeError, KeyError, ValueError, EOFError, OSError) as error:
            raise InputError(
                path, "resume training", "a checkpoint of this configuration", str(error)
            ) from error
        engine.state.iteration = saved["epoch"] * (engine.state.epoch_length or 0)
        _logger.info("resumed after epoch %d from %s", saved["epoch"], path)

    def _complete_epoch(self, engine: Engine) -> None:
        value = self.evaluator.state.metrics.get(self.metric)
        if value is not None and value > self.best:
            self.best = float(value)
            _save(self.parts["network"].state_dict(), self.folder / "model.pt")
        self._save_all(engine.state.epoch)

    def _terminate(self, engine: Engine) -> None:
        self._save_all(engine.state.epoch - 1)

    def _save_all(self, epoch: int) -> None:
        states = {name: part.state_dict() for name, part in self.parts.items()}
        _save({**states, "epoch": epoch, "best": self.best}, self.folder / "resume.pt")


def _save(content: dict[str, Any], path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


class ClippedGradients:
    """Limit the norm of the gradients, against the occasional huge step of a recurrent network.

    Args:
        network: the network in training.
        max_norm: largest 2-norm over all parameters.
    """

    def __init__(self, network: nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Listen to the end of each backward pass, before the optimiser steps."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._clip)

    def _clip(self) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


class EpochLog:
    """Append one line per epoch to a CSV file: epoch, mean loss, validation metric, learning rate, seconds.

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

    def attach(self, engine: Engine) -> None:
        """Listen to iterations and epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iterate)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _begin(self) -> None:
        self.losses.clear()
        self.began = time.monotonic()

    def _iterate(self, engine: Engine) -> None:
        self.losses.append(step_loss(engine))

    def _write(self, engine: Engine) -> None:
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        metric = self.evaluator.state.metrics.get(self.metric, math.nan)
        rate = self.optimizer.param_groups[0]["lr"]
        loss = sum(self.losses) / len(self.losses)
        seconds = time.monotonic() - self.began
        _logger.info(
            "epoch %d: loss %.4f, %s %.4f, %.0f s", engine.state.epoch, loss, self.metric, metric, seconds
        )
        with self.path.open("a", encoding="utf-8") as file:
            if new:
                file.write(f"epoch,loss,{self.metric},learning_rate,seconds\n")
            file.write(f"{engine.state.epoch},{loss:.5f},{metric:.5f},{rate:g},{seconds:.1f}\n")


def step_loss(engine: Engine) -> float:
    """Loss of the iteration just completed."""
    output = engine.state.output
    return float((output[0] if isinstance(output, list) else output)["loss"])
