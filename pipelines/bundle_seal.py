"""The list of a bundle's files with their SHA-256, `SHA256SUMS`, which `sha256sum --check` reads too.

It tells that a bundle is as it was when it was sealed. Whoever changes a bundle can seal it anew: who sealed it is
told by the digest of the list itself, where its author publishes that.
"""

import re
from pathlib import Path

from kseg.pipelines.bundle_files import MANIFEST, BundleFiles, list_bundle_files
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.plain_text import plain
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

LARGEST = 2**18

_STAGE = "seal bundle"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def seal_bundle(root: Path) -> str:
    """Write the list of a bundle's files, in the place of an older one.

    Args:
        root: folder of the bundle.

    Returns:
        SHA-256 of the list.

    Raises:
        InputError: a file that no bundle may have, or one that cannot be read.
    """
    listed = list_bundle_files(root, _STAGE)
    if listed.findings:
        raise listed.findings[0]
    files = {name: path for name, path in sorted(listed.files.items()) if name != MANIFEST}
    try:
        lines = [f"{file_sha256(path)}  {name}\n" for name, path in files.items()]
        with atomic_path(root / MANIFEST) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
        return file_sha256(root / MANIFEST)
    except OSError as error:
        raise InputError(
            root, _STAGE, "files that can be read and a list that can be written", str(error)
        ) from error


def check_seal(root: Path, listed: BundleFiles, stage: str) -> list[InputError]:
    """Compare a bundle with its list.

    Args:
        root: folder of the bundle.
        listed: its files.
        stage: the step that wants it, for messages.

    Returns:
        Files that changed, are missing or are not on the list; a list that is missing or damaged.
    """
    path = root / MANIFEST
    if MANIFEST not in listed.files:  # a pipe or a device under its name is never opened
        return [InputError(path, stage, "a list of the bundle's files; `kseg bundle seal` writes it", "none")]
    try:
        sums = _read(path)
    except (OSError, ValueError) as error:
        return [InputError(path, stage, "lines of a SHA-256 and a name", plain(str(error)))]
    files = {name: file for name, file in listed.files.items() if name != MANIFEST}
    findings = []
    for name in sorted(files.keys() | sums.keys()):
        received = _differs(files.get(name), sums.get(name))
        if received:
            shown = name if name.isprintable() else plain(name)
            findings.append(InputError(root / shown, stage, "the file that was sealed", received))
    return findings


def _differs(file: Path | None, digest: str | None) -> str | None:
    if file is None:
        return "none"
    if digest is None:
        return f"one that is not in {MANIFEST}"
    try:
        return None if file_sha256(file) == digest else "another content"
    except OSError as error:
        return error.strerror or "none"


def _read(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    sums: dict[str, str] = {}
    for line in content.decode("utf-8").split("\n")[:-1]:
        found = _LINE.fullmatch(line)
        if not found or found[2] in sums:
            raise ValueError(line)
        sums[found[2]] = found[1]
    return sums
