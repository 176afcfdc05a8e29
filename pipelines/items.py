"""What a batch works on, and one piece of that work."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kseg.pipelines.input_state import input_sha256, input_state
from kseg.transforms.errors import InputError

Record = dict[str, Any]
"""What became of a case, as it is written to a file of records."""


@dataclass(frozen=True)
class Item:
    """A case and its file.

    Attributes:
        case: relative folder and name without suffix.
        path: the file; of a DICOM series the first.
        size: of all its files, bytes; -1 where they could not be looked at.
        state: digest of the name, size and time of each of its files; empty where they could not be looked at.
        others: names of further files of the same case, which make it ambiguous.
        parts: names of further files in its folder that belong to it, such as its other contrasts.
    """

    case: str
    path: Path
    size: int = -1
    state: str = ""
    others: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and its parts."""
        return (self.path, *(self.path.with_name(name) for name in self.parts))


Work = Callable[[Item], dict[str, Any]]
"""Does one case, and returns what its record shall hold."""


def list_items(cases: Mapping[str, list[Path]]) -> list[Item]:
    """Look at the files of cases.

    Args:
        cases: files of each case, see `find_files`.
    """
    return [
        look_at(case, path, others=tuple(other.name for other in others))
        for case, (path, *others) in cases.items()
    ]


def look_at(case: str, path: Path, *, others: tuple[str, ...] = (), parts: tuple[str, ...] = ()) -> Item:
    """Look at the files of a case.

    Args:
        case: relative folder and name without suffix.
        path: the file.
        others: names of files that make it ambiguous.
        parts: names of files that belong to it.
    """
    item = Item(case, path, others=others, parts=parts)
    try:
        size, state = input_state(item.files)
    except (OSError, InputError):  # whoever reads it says what is wrong
        return item
    return replace(item, size=size, state=state)


def look_again(item: Item) -> Item:
    """Look at the files of a case that was listed before.

    Args:
        item: the case as it was listed.
    """
    return look_at(item.case, item.path, others=item.others, parts=item.parts)


def do_item(item: Item, work: Work, stage: str) -> Record:
    """Do the work of a case; what goes wrong is told in its record.

    Args:
        item: the case.
        work: is done.
        stage: what is being done, for messages.
    """
    began = time.monotonic()
    record = start_record(item)
    try:
        if item.others:
            expected = f"one file named {Path(item.case).name} in its folder"
            raise InputError(item.path, stage, expected, ", ".join((item.path.name, *item.others)))
        _require_as_listed(item, stage)
        result = work(item)
        digest = input_sha256(item.files)
        if "outputs" in result:  # written already, whatever becomes of the record
            record["outputs"] = result["outputs"]
        _require_as_listed(item, stage)
        record |= {"input_sha256": digest, "status": "ok", **result}
    except Exception as error:  # whatever it is, the others go on
        record |= failure(item, stage, error)
    record["seconds"] = round(time.monotonic() - began, 3)
    return record


def _require_as_listed(item: Item, stage: str) -> None:
    if item.size < 0:
        return
    size, state = input_state(item.files)
    if state != item.state:
        expected = f"the file that was listed, {item.size} bytes"
        raise InputError(item.path, stage, expected, f"one that was changed since, {size} bytes")


def start_record(item: Item) -> Record:
    """What a record says of its case, whatever becomes of it.

    Args:
        item: the case.
    """
    return {"case": item.case, "input": str(item.path), "size": item.size, "state": item.state}


def failure(item: Item, stage: str, error: Exception) -> Record:
    """What a record says of an error.

    Args:
        item: the case.
        stage: what was being done.
        error: what happened.

    Example:
        >>> failure(Item("a", Path("in/a.h5")), "segment", ValueError("coils: expected 1, received 8"))["error"]
        'in/a.h5: segment: coils: expected 1, received 8'
    """
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        stage = error.stage
    else:
        if not isinstance(error, ValueError):
            text = f"{type(error).__name__}: {text}"
        text = f"{item.path}: {stage}: {text}"
    return {"status": "failed", "stage": stage, "error": text, "error_class": type(error).__name__}


def lost_record(item: Item, stage: str, began: float, received: str) -> Record:
    """The record of an item whose process died.

    Args:
        item: the case.
        stage: what was being done.
        began: when, monotonic seconds.
        received: how it died.
    """
    error = InputError(item.path, stage, "a worker that lives", received)
    return _record_without_worker(item, stage, began, "WorkerDied", error)


def overdue_record(item: Item, stage: str, began: float, timeout: float) -> Record:
    """The record of an item that took too long.

    Args:
        item: the case.
        stage: what was being done.
        began: when, monotonic seconds.
        timeout: seconds that it may take.
    """
    error = InputError(item.path, stage, f"an end within {timeout:g} s", "none")
    return _record_without_worker(item, stage, began, "Timeout", error)


def _record_without_worker(
    item: Item, stage: str, began: float, error_class: str, error: InputError
) -> Record:
    seconds = round(time.monotonic() - began, 3)
    told = failure(item, stage, error)
    return {**start_record(item), **told, "error_class": error_class, "seconds": seconds}
