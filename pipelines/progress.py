"""Show how far a command is: a bar on a terminal, one plain line per case otherwise."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

Thing = TypeVar("Thing")

_logger = logging.getLogger(__name__)


def progress(
    things: Iterable[Thing],
    stage: str,
    unit: str = "file",
    *,
    total: int | None = None,
    name: Callable[[Thing], str] = str,
) -> Iterator[Thing]:
    """Yield things while showing how many there have been.

    Args:
        things: cases, or what became of them.
        stage: what is being done.
        unit: what a thing is.
        total: how many things there will be; needed where they have no length.
        name: says which case a thing is.
    """
    total = len(things) if isinstance(things, Sized) else total
    if sys.stderr.isatty():
        # Messages of the meantime go above the bar, not through it.
        with logging_redirect_tqdm():
            yield from tqdm(things, desc=stage, unit=unit, total=total)
    else:
        for number, thing in enumerate(things, start=1):
            _logger.info("%s %d/%d: %s", stage, number, total, name(thing))
            yield thing
