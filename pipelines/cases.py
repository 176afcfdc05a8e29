"""Which files belong to one case: the relative folder and NAME are the same in every tree of files."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from kseg.transforms.errors import InputError

NIFTI_SUFFIXES = (".nii.gz", ".nii")


def find_volumes(folder: Path) -> dict[str, list[Path]]:
    """Find the `NAME.nii.gz` and `NAME.nii` files below a folder.

    Args:
        folder: top of the tree.

    Returns:
        The files of each case, keyed by relative folder and NAME, sorted. More than one file is ambiguous.

    Raises:
        InputError: the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(folder, "find NIfTI files", "a folder", "a file" if folder.exists() else "nothing")
    return files_by_case(folder, NIFTI_SUFFIXES)


def files_by_case(
    folder: Path, suffixes: tuple[str, ...], leave_out: Path | None = None
) -> dict[str, list[Path]]:
    """Find the files below a folder, to any depth.

    Hidden files and folders are left aside: what a killed command left, what other programs keep. Symbolic
    links are followed, each folder is entered once; a link to nothing counts as a file, so that reading it
    says what is wrong.

    Args:
        folder: top of the tree.
        suffixes: endings of the files.
        leave_out: folder inside that is not entered.

    Returns:
        The files of each case, keyed by relative folder and name without suffix, sorted. More than one file is
        ambiguous.

    Raises:
        InputError: a folder that cannot be read.
    """
    entered = {os.path.realpath(top) for top in (folder, leave_out) if top is not None}
    cases: defaultdict[str, list[Path]] = defaultdict(list)
    for top, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = {name: os.path.realpath(os.path.join(top, name)) for name in sorted(folders)}
        folders[:] = [name for name in real if not name.startswith(".") and real[name] not in entered]
        entered.update(real[name] for name in folders)
        here = Path(top)
        beginning = "" if here == folder else f"{here.relative_to(folder).as_posix()}/"
        for name in sorted(names):
            if name.endswith(suffixes) and not name.startswith("."):
                cases[beginning + without_suffix(name, suffixes)].append(here / name)
    return dict(sorted(cases.items()))


def without_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    """Remove the ending of a name, the longest that fits.

    Example:
        >>> without_suffix("site/head.nii.gz", (".gz", ".nii.gz"))
        'site/head'
    """
    return name.removesuffix(max((suffix for suffix in suffixes if name.endswith(suffix)), key=len))


def one_file(found: Mapping[str, list[Path]], case: str, folder: Path, stage: str) -> Path:
    """Return the one file of a case.

    Args:
        found: the files of each case below the folder.
        case: relative folder and NAME.
        folder: top of the tree, named in the error.
        stage: named in the error.

    Raises:
        InputError: the case has no file or several.
    """
    paths = found.get(case, [])
    if len(paths) != 1:
        received = ", ".join(path.name for path in paths) or "none"
        raise InputError(folder / case, stage, "one NIfTI file of this case", received)
    return paths[0]


def _refuse(error: OSError) -> None:
    raise InputError(error.filename, "find files", "a folder that can be read", error.strerror or "no access")
