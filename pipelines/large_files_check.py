"""Check `large_files.yml`: what MONAI downloads into a bundle, and from where."""

import re
from pathlib import Path

from kseg.pipelines.plain_text import plain
from kseg.transforms.errors import InputError

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_PLACE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_KEYS = {"path", "url", "hash_val", "hash_type"}


def check_large_files(content: object, path: Path, stage: str) -> list[InputError]:
    """Check that each download goes to a place in the bundle, comes by HTTPS and has a SHA-256.

    Args:
        content: what was read: `large_files`, a list of `path`, `url`, `hash_val` and `hash_type`.
        path: the file that it was read from, for messages.
        stage: the step that wants it, for messages.

    Returns:
        What is refused; empty where nothing is.
    """
    files = content.get("large_files") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and file.keys() == _KEYS for file in files
    ):
        return [
            InputError(
                path, stage, "a list of large_files with path, url, hash_val and hash_type", plain(content)
            )
        ]
    findings = []
    for file in files:
        place, address, digest = (str(file[key]) for key in ("path", "url", "hash_val"))
        if not _PLACE.fullmatch(place):
            findings.append(InputError(path, stage, "a path in the bundle", plain(place)))
        if not address.startswith("https://"):
            findings.append(InputError(path, stage, "an address that begins with https://", plain(address)))
        if file["hash_type"] != "sha256" or not _DIGEST.fullmatch(digest):
            findings.append(InputError(path, stage, "the SHA-256 of a file", plain(digest)))
    return findings
