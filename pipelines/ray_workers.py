"""Actors of Ray, on this machine or on a cluster, in the place of worker processes."""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from kseg.pipelines.engines import Task, seconds_left, start_task
from kseg.pipelines.items import Item, Record, Work, do_item, lost_record, overdue_record

_PATIENCE_S = 10.0


class _Actor:
    """Loads the task once and does one item after the other."""

    def __init__(self, task: Task) -> None:
        # As many threads as cores, whatever the environment of the cluster says; PyTorch comes after this.
        os.environ["OMP_NUM_THREADS"] = "1"
        self._task = task
        self._work: Work | None = None

    def start(self) -> None:
        # Not in the constructor: what fails there arrives as a text.
        self._work = start_task(self._task)

    def do(self, item: Item) -> Record:
        assert self._work is not None
        return do_item(item, self._work, self._task.stage)


@dataclass
class _Pending:
    """What is waited for: an actor that starts, or one that does an item."""

    actor: Any
    item: Item | None = None
    began: float = 0.0


class RayWorkers:
    """Does items in actors of Ray: one that dies or hangs costs its item only. All see the same files.

    Args:
        task: what they do; every actor starts it once.
        n_workers: actors at a time, one core each; as many work as the cluster has room for.
        timeout: seconds that an item may take; without limit if not given.
        address: of a cluster, `auto` for the one that runs on this machine; one is started here if not given.

    Raises:
        ValueError: Ray is not installed.
    """

    def __init__(self, task: Task, n_workers: int, timeout: float | None, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError("ray: expected Ray, `pip install kseg[ray]`, received none") from error
        self._ray = ray
        self._task = task
        self._n_workers = n_workers
        self._timeout = timeout
        self._address = address

    def run(self, items: Sequence[Item]) -> Generator[Record, None, None]:
        """Yield the record of each item as soon as it is done.

        Args:
            items: what is done.

        Raises:
            ValueError: no cluster at the address, or the task cannot be started.
        """
        self._connect()
        try:
            yield from self._run(items)
        finally:
            self._ray.shutdown()

    def _connect(self) -> None:
        try:
            if self._address is not None and self._address != "auto":
                # Ray itself knocks for minutes.
                host, _, port = self._address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, int(port)), _PATIENCE_S).close()
            self._ray.init(self._address or "local", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError, ValueError) as error:
            raise ValueError(f"ray: expected a cluster at {self._address}, received none") from error

    def _run(self, items: Sequence[Item]) -> Generator[Record, None, None]:
        waiting = deque(items)
        pending: dict[Any, _Pending] = {}
        for _ in range(min(self._n_workers, len(items))):
            self._start(pending)
        while waiting or any(each.item for each in pending.values()):
            left = seconds_left((each.began for each in pending.values() if each.item), self._timeout)
            done, _ = self._ray.wait(list(pending), timeout=left)
            for future in done:
                each = pending.pop(future)
                record, alive = self._result(future, each)
                if record is not None:
                    yield record
                if alive:
                    if waiting:
                        item = waiting.popleft()
                        pending[each.actor.do.remote(item)] = _Pending(each.actor, item, time.monotonic())
                elif waiting:
                    self._start(pending)
            for future, each in list(pending.items()):
                if each.item and self._timeout and time.monotonic() - each.began > self._timeout:
                    self._ray.kill(each.actor)
                    del pending[future]
                    yield overdue_record(each.item, self._task.stage, each.began, self._timeout)
                    if waiting:
                        self._start(pending)

    def _start(self, pending: dict[Any, _Pending]) -> None:
        remote: Any = self._ray.remote(num_cpus=1)(_Actor)
        actor = remote.remote(self._task)
        pending[actor.start.remote()] = _Pending(actor)

    def _result(self, future: Any, each: _Pending) -> tuple[Record | None, bool]:
        """What came of a future, and whether its actor lives."""
        try:
            return self._ray.get(future), True
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            if each.item is None:
                reason = str(cause) if isinstance(cause, ValueError) else _first_line(error)
                raise ValueError(reason) from error
            how = f"its death: {_first_line(error)}"
            return lost_record(each.item, self._task.stage, each.began, how), False


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
