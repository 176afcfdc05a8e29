"""Records of what is finished: written last and in one step, believed only if they still fit."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kseg.pipelines.digest import file_sha256
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError, require_file

_STAGE = "read record"


def write_record(path: Path, content: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Write a record.

    Args:
        path: the record, JSON.
        content: what it says.
        files: what it vouches for, by name; their digests are added as `sha256`, that of the rest as `digest`.
    """
    told = {**content, "sha256": {name: file_sha256(file) for name, file in files.items()}}
    sealed = {**told, "digest": short_digest(told)}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def read_record(path: Path, files: Mapping[str, Path], keys: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """Read a record and check the files that it vouches for.

    Args:
        path: the record.
        files: as they were given to `write_record`.
        keys: what the record has to hold besides.

    Returns:
        What the record says, or None if there is none.

    Raises:
        InputError: a damaged record, or a file that is missing or not the one that was recorded.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(path, _STAGE, "JSON", str(error)) from error
    expected = {*keys, "sha256", "digest"}
    if not isinstance(content, dict) or not expected <= content.keys():
        received = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise InputError(path, _STAGE, f"the keys {', '.join(sorted(expected))}", received)
    digest = content.pop("digest")
    if short_digest(content) != digest:
        raise InputError(path, _STAGE, f"content of digest {digest}", short_digest(content))
    recorded = content["sha256"]
    for name, file in files.items():
        require_file(file, _STAGE)
        found = file_sha256(file)
        if recorded.get(name) != found:
            raise InputError(file, _STAGE, f"a file of SHA-256 {str(recorded.get(name))[:12]}", found[:12])
    return content


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[int]:
    """Keep a folder to oneself (POSIX).

    Args:
        folder: made if missing.
        wait: while another process has it.

    Yields:
        The descriptor of the lock. A process that inherits it keeps the folder locked as long as it lives.

    Raises:
        BlockingIOError: another process has it, and that was not to be waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file.fileno()


def short_digest(content: Any) -> str:
    """Eight characters that differ where the content does.

    Args:
        content: anything that JSON can hold.
    """
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
