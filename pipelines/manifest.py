"""The list of what a folder holds, made once and shared by all shards of a run."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kseg.pipelines.items import Item
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

_STAGE = "read manifest"


@dataclass(frozen=True)
class Shard:
    """A share of a manifest; a case stays in its shard when others are added.

    Attributes:
        number: of this shard, from 1.
        count: of shards.

    Raises:
        ValueError: a number outside 1 to count.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"shard: expected K/N with 1 <= K <= N, received {self.number}/{self.count}")

    def holds(self, case: str) -> bool:
        """Whether a case belongs to this shard.

        Args:
            case: relative folder and name.

        Example:
            >>> [number for number in (1, 2, 3) if Shard(number, 3).holds("site/head")]
            [2]
        """
        digest = hashlib.sha256(case.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read `K/N`.

    Args:
        text: for example `3/8`.

    Raises:
        ValueError: another text, or a number outside 1 to count.
    """
    number, _, count = text.partition("/")
    try:
        return Shard(int(number), int(count))
    except ValueError as error:
        raise ValueError(f"shard: expected K/N with 1 <= K <= N, received {text}") from error


def write_manifest(path: Path, items: Iterable[Item], source: Path) -> None:
    """Write a list of items, one line of JSON for each.

    Args:
        path: the file; its folder is made.
        items: what is listed.
        source: folder that their paths are relative to.

    Raises:
        InputError: it cannot be written.
    """
    lines = []
    for item in items:
        entry = {
            "case": item.case,
            "path": item.path.relative_to(source).as_posix(),
            "size": item.size,
            "state": item.state,
        }
        further = {"others": item.others, "parts": item.parts}
        lines.append(json.dumps(entry | {key: names for key, names in further.items() if names}) + "\n")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InputError(path, "write manifest", "a place to write to", error.strerror or "none") from error


def read_manifest(path: Path, source: Path) -> list[Item]:
    """Read what `write_manifest` wrote.

    Args:
        path: the file.
        source: folder that its paths are relative to.

    Raises:
        InputError: it cannot be read, or is not a manifest.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, _STAGE, "a manifest", " ".join(str(error).split())) from error
    items = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            further = {key: tuple(entry.get(key, ())) for key in ("others", "parts")}
            items.append(
                Item(entry["case"], source / entry["path"], entry["size"], entry.get("state", ""), **further)
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            expected = "case, path and size on each line"
            raise InputError(path, _STAGE, expected, f"line {number}: {line[:80]}") from error
    return items


def manifest_changes(before: Sequence[Item], after: Sequence[Item]) -> str:
    """Say how a list differs from an earlier one; empty if it does not.

    Args:
        before: the earlier list.
        after: the later one.

    Example:
        >>> old = [Item("a", Path("a.h5"), 1), Item("b", Path("b.h5"), 1)]
        >>> manifest_changes(old, [Item("b", Path("b.h5"), 2), Item("c", Path("c.h5"), 1)])
        '1 new, 1 changed, 1 gone'
    """
    old, new = ({item.case: item for item in items} for items in (before, after))
    counts = {
        "new": len(new.keys() - old.keys()),
        "changed": sum(old[case] != new[case] for case in new.keys() & old.keys()),
        "gone": len(old.keys() - new.keys()),
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
