"""What a batch keeps in its output folder beside the results."""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from kseg.pipelines.manifest import Shard
from kseg.pipelines.records import is_at_work
from kseg.transforms.errors import InputError

MANIFEST = "manifest.jsonl"
SUMMARY = "summary.json"

_SHARD = re.compile(r"results-\d+-of-(\d+)\.jsonl")
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.(.+)")


def records_file(output: Path, shard: Shard) -> Path:
    """Where a run writes its records.

    Args:
        output: output folder.
        shard: share of the items that it does.

    Example:
        >>> records_file(Path("out"), Shard(2, 7)).name
        'results-2-of-7.jsonl'
    """
    if shard.count == 1:
        return output / "results.jsonl"
    return output / f"results-{shard.number}-of-{shard.count}.jsonl"


def records_files(output: Path) -> list[Path]:
    """All files of records in an output folder.

    Args:
        output: output folder.
    """
    return sorted(output.glob("results*.jsonl"))


def has_begun(output: Path, count: int) -> bool:
    """Whether a share of a division has been begun, now or ever: what it listed is for the others too.

    Args:
        output: output folder.
        count: of shares.
    """
    return any(_division(path) == count for path in records_files(output))


def require_one_division(output: Path, shard: Shard) -> None:
    """Refuse to work beside a run that divides the same items otherwise.

    Args:
        output: output folder.
        shard: share of the items that this run does.

    Raises:
        InputError: such a run is at work.
    """
    for path in records_files(output):
        count = _division(path)
        if count != shard.count and is_at_work(path):
            expected = f"no run that divides the items otherwise than by {shard.count}"
            raise InputError(path, "record results", expected, f"one that divides them by {count}")


def remove_leftovers(output: Path, cases: Collection[str], mine: Collection[str], *, alone: bool) -> None:
    """Remove what writers that were killed have left of cases; see `atomic_path`.

    Args:
        output: output folder.
        cases: all of them: the name of one may begin with that of another.
        mine: those whose leftovers are removed.
        alone: no other run can be at the list or the summary, whose leftovers are removed too.
    """
    for folder, _, names in os.walk(output):
        relative = Path(folder).relative_to(output)
        for name in names:
            match = _TEMPORARY.fullmatch(name)
            if match is None:
                continue
            final = (relative / match[1]).as_posix()
            case = next((start for start in _beginnings(final) if start in cases), None)
            if case in mine or (alone and final in (MANIFEST, SUMMARY)):
                Path(folder, name).unlink(missing_ok=True)


def _division(records: Path) -> int:
    match = _SHARD.fullmatch(records.name)
    return int(match[1]) if match else 1


def _beginnings(name: str) -> Iterable[str]:
    return (name[:end] for end in range(len(name), 0, -1))
