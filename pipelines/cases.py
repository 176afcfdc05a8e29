"""Which files belong to one case: the relative folder and NAME are the same in every tree of files."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kseg.transforms.errors import InputError
from kseg.transforms.nifti import NiftiVolume

_NIFTI_SUFFIXES = (".nii.gz", ".nii")
_SEGMENTATION_ENDING = "_seg"
# Written beside a segmentation, never a segmentation.
_COMPANION_ENDINGS = ("_prob", "_recon", "_recurrences")
_AFFINE_TOLERANCE = 1e-3


def find_segmentations(folder: Path) -> dict[str, list[Path]]:
    """Find the segmentations below a folder.

    `NAME_seg.nii.gz` is the segmentation of the case NAME; a plain `NAME.nii.gz` is taken where there is
    none. `NAME_prob`, `NAME_recon`, `NAME_recurrences` and hidden files are left aside; `.nii` counts as
    `.nii.gz`.

    Args:
        folder: top of the tree.

    Returns:
        The files of each case, keyed by relative folder and NAME, sorted. More than one file is ambiguous.

    Raises:
        InputError: the folder does not exist.
    """
    named, plain = defaultdict(list), defaultdict(list)
    for case, paths in find_volumes(folder).items():
        if case.endswith(_SEGMENTATION_ENDING):
            named[case.removesuffix(_SEGMENTATION_ENDING)] = paths
        elif not case.endswith(_COMPANION_ENDINGS):
            plain[case] = paths
    return dict(sorted((plain | named).items()))


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
    cases: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.nii*")):
        for suffix in _NIFTI_SUFFIXES:
            if path.name.endswith(suffix) and not path.name.startswith(".") and path.is_file():
                cases[path.relative_to(folder).as_posix().removesuffix(suffix)].append(path)
    return dict(sorted(cases.items()))


def companion(folder: Path, case: str, ending: str = "") -> Path | None:
    """Return the file of a case that ends with `ending`, or None where there is none.

    Args:
        folder: top of the tree.
        case: relative folder and NAME.
        ending: what follows NAME, such as `_recon`.

    Example:
        >>> companion(Path("nowhere"), "case", "_recon") is None
        True
    """
    for suffix in _NIFTI_SUFFIXES:
        path = folder / f"{case}{ending}{suffix}"
        if path.is_file():
            return path
    return None


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


def require_same_grid(path: Path, volume: NiftiVolume, like: NiftiVolume, stage: str) -> None:
    """Require that two volumes have the same shape and, to 1e-3, the same affine.

    Args:
        path: file of the first volume, named in the error.
        volume: the volume that must agree.
        like: the volume it must agree with.
        stage: named in the error.

    Raises:
        InputError: the shapes or the affines differ.
    """
    if volume.array.shape != like.array.shape:
        raise InputError(path, stage, f"grid (x, y, slice) {like.array.shape}", f"{volume.array.shape}")
    difference = float(np.abs(volume.affine - like.affine).max())
    if difference > _AFFINE_TOLERANCE:
        expected = f"the same affine to {_AFFINE_TOLERANCE}"
        raise InputError(path, stage, expected, f"a difference of {difference:.4g}")
