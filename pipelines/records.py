"""Files of records: one line of JSON for each case, appended as soon as it is done."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from kseg.pipelines.items import Record
from kseg.transforms.errors import InputError

_STAGE = "record results"


class RecordFile:
    """Where a run writes its records, alone.

    Args:
        path: the file.
        descriptor: of the open file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def append(self, record: Record) -> None:
        """Add a record, with the time at which it was finished.

        Args:
            record: what became of a case.

        Raises:
            InputError: it cannot be written.
        """
        finished = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        line = json.dumps({**record, "finished": finished}) + "\n"
        try:
            os.write(self._descriptor, line.encode())
            os.fsync(self._descriptor)
        except OSError as error:
            raise _unwritable(self._path, error) from error


@contextmanager
def open_records(path: Path) -> Iterator[RecordFile]:
    """Open a file of records to add to it; lines that it holds are kept.

    Args:
        path: the file. It and its folder are made if need be.

    Raises:
        InputError: it cannot be written to, or another run writes to it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        if not _lock(descriptor, fcntl.LOCK_EX):
            raise InputError(path, _STAGE, "no other run with this output", "one that is at work")
        # A run that was killed may have left half a line.
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        yield RecordFile(path, descriptor)
    finally:
        os.close(descriptor)


def is_at_work(path: Path) -> bool:
    """Whether a run writes to a file of records.

    Args:
        path: the file.
    """
    with path.open("rb") as file:
        # Shared: two who ask at the same time do not take each other for a run.
        return not _lock(file.fileno(), fcntl.LOCK_SH)


def read_records(paths: Iterable[Path]) -> dict[str, Record]:
    """Read the last record of each case.

    Half a line, which a run that was killed can leave, counts as none.

    Args:
        paths: files of records.

    Raises:
        InputError: a file that cannot be read.
    """
    last: dict[str, Record] = {}
    for record in _read(paths):
        known = last.get(record["case"])
        if known is None or known.get("finished", "") <= record.get("finished", ""):
            last[record["case"]] = record
    return last


def read_outputs(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Read the names of all files that were ever written of each case.

    Args:
        paths: files of records.

    Raises:
        InputError: a file that cannot be read.
    """
    written: dict[str, set[str]] = {}
    for record in _read(paths):
        if isinstance(outputs := record.get("outputs"), dict):
            written.setdefault(record["case"], set()).update(outputs)
    return written


def _read(paths: Iterable[Path]) -> Iterator[Record]:
    for path in paths:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise InputError(path, "read results", "a file", error.strerror or "none") from error
        yield from (record for line in lines if (record := _parse(line)) is not None)


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("case"), str) else None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(path, _STAGE, "a place to write to", error.strerror or "none")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
