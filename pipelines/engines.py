"""Who does the items of a batch: this process; worker processes and Ray have modules of their own."""

import time
from collections.abc import Generator, Iterable, Sequence
from typing import Protocol

from kseg.pipelines.items import Item, Record, Work, do_item


class Task(Protocol):
    """Work that another process can start; it travels there, so it is picklable."""

    @property
    def stage(self) -> str:
        """What is being done, for messages."""

    def start(self) -> Work:
        """Load what all items need, once in every process.

        Raises:
            ValueError: it cannot be loaded.
        """


def start_task(task: Task) -> Work:
    """Start a task where what it says is all that is heard of it.

    Args:
        task: what is started.

    Raises:
        ValueError: it cannot be loaded, for whatever reason, in one line.
    """
    try:
        return task.start()
    except ValueError:
        raise
    except Exception as error:  # a traceback would stay behind in the other process
        received = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{task.stage}: expected a task that starts, received {received}") from error


class Engine(Protocol):
    """Does items and says what became of each."""

    def run(self, items: Sequence[Item]) -> Generator[Record, None, None]:
        """Yield the record of each item as soon as it is done, in any order.

        Args:
            items: what is done.

        Raises:
            ValueError: the task cannot be started.
        """


class InProcess:
    """Does items in this process, one after the other: an item that kills it ends the run.

    Args:
        work: is done.
        stage: what it is, for messages.
    """

    def __init__(self, work: Work, stage: str) -> None:
        self._work = work
        self._stage = stage

    def run(self, items: Sequence[Item]) -> Generator[Record, None, None]:
        """Yield the record of each item, in their order."""
        for item in items:
            yield do_item(item, self._work, self._stage)


def seconds_left(began: Iterable[float], timeout: float | None) -> float | None:
    """How long to wait for items until the first of them is overdue.

    Args:
        began: when they were begun, monotonic seconds.
        timeout: seconds that each may take; without limit if not given.

    Returns:
        Seconds, 0 if one is overdue; None where there is no limit.

    Example:
        >>> seconds_left([time.monotonic() - 5], timeout=3), seconds_left([], timeout=3)
        (0.0, None)
    """
    first = min(began, default=None)
    if timeout is None or first is None:
        return None
    return max(0.0, first + timeout - time.monotonic())
