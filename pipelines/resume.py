"""What an earlier run has left to do."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kseg.pipelines.digest import file_sha256
from kseg.pipelines.input_state import input_sha256
from kseg.pipelines.items import Item, Record, start_record
from kseg.transforms.errors import InputError

_DONE, _NEW, _FAILED = "done", "new", "failed before"
_PART = 64


@dataclass
class Resumption:
    """What is to be done, and what is not.

    Attributes:
        todo: items that are to be done.
        done: cases that an earlier run finished and whose files are still those that it wrote.
        failed: reason of each case that failed in an earlier run and is left.
        again: how many items are done again, by why.
        renewed: records of cases that are left, where the input has the same content but another state.
    """

    todo: list[Item] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    again: Counter[str] = field(default_factory=Counter)
    renewed: list[Record] = field(default_factory=list)


def resume(
    items: Sequence[Item],
    records: Mapping[str, Record],
    identity: Mapping[str, Any],
    output: Path,
    *,
    retry_failed: bool = False,
) -> Resumption:
    """Decide what of a list is to be done.

    An item is left if its record says ok, its input and what it was done with are unchanged, and every file that
    was written has the digest that was recorded; or if it failed under the same conditions.

    Args:
        items: what was asked for.
        records: last record of each case, see `read_records`.
        identity: what a record must agree with: weights, configuration, settings.
        output: folder of the results.
        retry_failed: do again what failed.
    """

    def states_of(some: Sequence[Item]) -> list[str]:
        return [_state(item, records.get(item.case), identity, output) for item in some]

    # Digests of large files are worth a core each; handing small ones over costs more than they do.
    parts = [items[start : start + _PART] for start in range(0, len(items), _PART)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        states = [state for part in pool.map(states_of, parts) for state in part]
    result = Resumption()
    for item, state in zip(items, states, strict=True):
        if state == _DONE:
            result.done.append(item.case)
        elif state == _FAILED and not retry_failed:
            result.failed[item.case] = records[item.case]["error"]
        else:
            result.todo.append(item)
            if state != _NEW:
                result.again[state] += 1
            continue
        if records[item.case].get("state") != item.state:
            result.renewed.append(records[item.case] | start_record(item))
    return result


def what_differs(key: str) -> str:
    """Say what a part of the identity of a record is of.

    Args:
        key: its name.

    Example:
        >>> what_differs("weights_sha256")
        'weights'
    """
    return key.removesuffix("_sha256").replace("_", " ")


def _state(item: Item, record: Record | None, identity: Mapping[str, Any], output: Path) -> str:
    if record is None:
        return _NEW
    for key, value in identity.items():
        if record.get(key) != value:
            return f"other {what_differs(key)}"
    if not _same_input(item, record):
        return "changed input"
    if record.get("status") != "ok":
        return _FAILED
    outputs = record.get("outputs")
    if not isinstance(outputs, dict) or not all(
        _has_digest(output / name, digest) for name, digest in outputs.items()
    ):
        return "missing or changed output"
    return _DONE


def _same_input(item: Item, record: Record) -> bool:
    if record.get("size") != item.size:
        return False
    # A copy of the folder has other times.
    if record.get("state") == item.state:
        return True
    try:
        return input_sha256(item.files) == record.get("input_sha256")
    except (OSError, InputError):
        return False


def _has_digest(path: Path, digest: Any) -> bool:
    try:
        return digest is not None and file_sha256(path) == digest
    except OSError:
        return False
