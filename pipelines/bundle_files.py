"""Which files a bundle consists of: data and texts below its folder, no code, nothing from elsewhere."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from kseg.pipelines.plain_text import plain
from kseg.transforms.errors import InputError

MANIFEST = "SHA256SUMS"
WEIGHTS = (".pt", ".pth")
MOST_FILES = 1000
DEEPEST = 16
LARGEST = 2**34

# What goes in and what comes out is no part of a bundle, though it is kept beside it.
_OUTSIDE = ("data", "eval", "run")
_SUFFIXES = {".conf", ".csv", ".jpeg", ".jpg", ".json", ".md", ".png", ".txt", ".yaml", ".yml", *WEIGHTS}
_NAMES = {"LICENSE", "NOTICE", MANIFEST}
_CODE = {".ts": "TorchScript, which is code", ".py": "Python", ".so": "binary code", ".pyc": "Python"}


@dataclass
class BundleFiles:
    """The files of a bundle.

    Attributes:
        files: by their path below the bundle's folder, with slashes.
        findings: what is refused.
    """

    files: dict[str, Path] = field(default_factory=dict)
    findings: list[InputError] = field(default_factory=list)


def list_bundle_files(root: Path, stage: str) -> BundleFiles:
    """List the files of a bundle; none of them is opened.

    The folders `data`, `eval` and `run`, for inputs, outputs and trainings, are left out.

    Args:
        root: folder of the bundle.
        stage: the step that wants them, for messages.

    Example:
        >>> from kseg.pipelines.bundle_folder import find_bundle
        >>> bundle = list_bundle_files(find_bundle("brain_kspace_segmentation"), "check bundle")
        >>> "configs/inference.json" in bundle.files, bundle.findings
        (True, [])
    """
    listed = BundleFiles()
    size = 0
    for path in _walk(root, root, listed, stage):
        name = path.relative_to(root).as_posix()
        if len(listed.files) == MOST_FILES:
            listed.findings.append(InputError(root, stage, f"at most {MOST_FILES} files", "more"))
            break
        if reason := _refuse_file(root, path):
            listed.findings.append(InputError(_shown(path), stage, "a file of a bundle", reason))
        else:
            size += path.stat().st_size
            if size > LARGEST:  # a file of holes takes no space, but days to read
                listed.findings.append(InputError(root, stage, f"at most {LARGEST} bytes", "more"))
                break
            listed.files[name] = path
    return listed


def _walk(root: Path, folder: Path, listed: BundleFiles, stage: str) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        received = error.strerror or "nothing"
        listed.findings.append(InputError(_shown(folder), stage, "a folder that can be read", received))
        return
    for entry in entries:
        path = folder / entry.name
        if folder == root and entry.name in _OUTSIDE:
            continue
        if entry.is_dir(follow_symlinks=False) and len(path.relative_to(root).parts) > DEEPEST:
            expected = f"folders at most {DEEPEST} deep"
            listed.findings.append(InputError(_shown(path), stage, expected, "a deeper one"))
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, listed, stage)
        else:
            yield path


def _refuse_file(root: Path, path: Path) -> str | None:
    name = path.relative_to(root).as_posix()
    if not name.isprintable() or "\\" in name:
        return f"the name {plain(name)}"
    if path.is_symlink():
        try:
            outside = not path.resolve(strict=True).is_relative_to(root.resolve())
        except (OSError, RuntimeError):
            return "a link to nothing"
        if outside:
            return "a link that leaves the bundle"
    if not stat.S_ISREG(path.stat().st_mode):
        return "a link to a folder" if path.is_dir() else "a device or pipe"
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _SUFFIXES and path.name not in _NAMES:
        return _CODE.get(suffix, f"the kind {plain(suffix or path.name)}")
    return None


def _shown(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() else plain(text)
