"""Worker processes that a bad item may kill or hang without harm to the others."""

import os
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from kseg.pipelines.engines import Task, seconds_left
from kseg.pipelines.items import Item, Record, lost_record, overdue_record

_PATIENCE_S = 10.0
"""A worker that is told to leave removes what it has half written; one that does not leave is killed."""


@dataclass(eq=False)
class _Worker:
    """A process that loads the task once and does one item after the other.

    Attributes:
        process: the process.
        connection: takes items, gives records.
        ready: whether it has loaded the task.
        item: what it works on.
        began: when it was given the item, monotonic seconds.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False
    item: Item | None = None
    began: float = 0.0

    def give(self, item: Item) -> bool:
        try:
            self.connection.send(item)
        except OSError:  # it died while it waited
            return False
        self.item, self.began = item, time.monotonic()
        return True

    def stop(self) -> None:
        # It leaves when the connection closes.
        self.connection.close()
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


class Workers:
    """Does items in worker processes: one that crashes, runs out of memory or hangs costs its item only.

    Args:
        task: what they do; every process starts it once.
        n_workers: processes at a time; they share the threads.
        timeout: seconds that an item may take; without limit if not given.
    """

    def __init__(self, task: Task, n_workers: int = 1, timeout: float | None = None) -> None:
        self._task = task
        self._n_workers = n_workers
        self._timeout = timeout

    def run(self, items: Sequence[Item]) -> Generator[Record, None, None]:
        """Yield the record of each item as soon as it is done.

        Args:
            items: what is done.

        Raises:
            ValueError: the task cannot be started, or its process ends before it takes an item.
        """
        waiting = deque(items)
        workers: list[_Worker] = []
        try:
            while waiting or any(worker.item for worker in workers):
                wanted = min(self._n_workers, len(waiting) + sum(bool(worker.item) for worker in workers))
                workers += [self._start() for _ in range(wanted - len(workers))]
                left = seconds_left((worker.began for worker in workers if worker.item), self._timeout)
                wait([worker.connection for worker in workers], left)
                for worker in list(workers):
                    record = self._look_at(worker)
                    if record is not None:
                        yield record
                    if worker.connection.closed:
                        workers.remove(worker)
                    elif worker.ready and worker.item is None and waiting and worker.give(waiting[0]):
                        waiting.popleft()
        finally:
            for worker in workers:
                worker.connection.close()
            for worker in workers:
                worker.stop()

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        threads = max(1, _available_threads() // self._n_workers)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "kseg.pipelines.worker", str(theirs.fileno())],
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        ours.send_bytes(pickle.dumps(self._task))
        return _Worker(process, ours)

    def _look_at(self, worker: _Worker) -> Record | None:
        """Take what a worker says; the connection of one that is gone is closed."""
        if worker.connection.poll():
            try:
                said = worker.connection.recv()
            except (EOFError, OSError):
                return self._died(worker)
            if isinstance(said, Exception):
                raise said
            worker.ready, worker.item = True, None
            return said  # type: ignore[no-any-return]
        if worker.item and self._timeout and time.monotonic() - worker.began > self._timeout:
            worker.kill()
            return overdue_record(worker.item, self._task.stage, worker.began, self._timeout)
        return None

    def _died(self, worker: _Worker) -> Record | None:
        worker.stop()
        code = worker.process.returncode
        how = f"its death by signal {-code}" if code < 0 else f"its end with exit code {code}"
        if worker.item is None:
            if worker.ready:
                return None
            raise ValueError(f"{self._task.stage}: expected a worker process that starts, received {how}")
        return lost_record(worker.item, self._task.stage, worker.began, how)


def _available_threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else len(os.sched_getaffinity(0))
