"""One share of a run lists the input while the others wait."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kseg.pipelines.manifest import Shard
from kseg.transforms.errors import InputError

LOCK = ".manifest.lock"


@contextmanager
def alone_at_list(output: Path, shard: Shard) -> Iterator[None]:
    """Wait until no other share reads or writes the list, and keep the others waiting.

    A run that does everything has no others, and waits for none.

    Args:
        output: output folder, made if missing.
        shard: share of the items that this run does.

    Raises:
        InputError: the folder cannot be written to.
    """
    if shard.count == 1:
        yield
        return
    path = output / LOCK
    try:
        output.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(path, "list inputs", "a place to write to", error.strerror or "none") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
