"""Segmentations of a folder, what lies beside them, and the references that they are compared with.

Names are those of `kseg segment`, `NAME_seg.nii.gz`, or those of BIDS derivatives, `NAME_dseg.nii.gz`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from kseg.pipelines.bids_outputs import derivative_name
from kseg.pipelines.cases import NIFTI_SUFFIXES, find_volumes, without_suffix

_ENDINGS = ("_seg", "_dseg")
# Written beside a segmentation, never a segmentation.
_COMPANIONS = ("prob", "recon", "recurrences", "uncertainty")
RESULT_ENDINGS = (*_ENDINGS, *(f"_{ending}" for ending in _COMPANIONS), "_probseg")
"""What names of images end with that `kseg segment` writes."""

_DESCRIBED = re.compile(r"(?P<entities>(?:.*/)?sub-[^/]*)_desc-[0-9a-zA-Z+]+")


def find_segmentations(folder: Path) -> dict[str, list[Path]]:
    """Find the segmentations below a folder.

    `NAME_seg.nii.gz`, in BIDS `NAME_dseg.nii.gz`, is the segmentation of the case NAME; a plain `NAME.nii.gz` is
    taken where there is none. Probabilities, reconstructions, recurrences, uncertainty and hidden files are left
    aside; `.nii` counts as `.nii.gz`.

    Args:
        folder: top of the tree.

    Returns:
        The files of each case, keyed by relative folder and NAME, sorted. More than one file is ambiguous.

    Raises:
        InputError: the folder does not exist.
    """
    found = find_volumes(folder)
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for name, paths in found.items():
        if name.endswith(_ENDINGS):
            named[without_suffix(name, _ENDINGS)] += paths
    beside = {name for case in named for ending in _COMPANIONS for name in _beside(case, ending)}
    plain = {
        name: paths
        for name, paths in found.items()
        if name not in beside and not name.endswith(RESULT_ENDINGS)
    }
    return dict(sorted((plain | named).items()))


def match_references(cases: Iterable[str], references: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Find the reference of each case.

    It is the one of the same relative folder and NAME. Names of BIDS tell with `desc` how a derivative was made,
    which is another for a reference: where no name agrees, those that agree in all other entities do.

    Args:
        cases: relative folder and NAME of segmentations.
        references: what `find_segmentations` found of references.

    Returns:
        The references of the cases that have one. More than one is ambiguous.

    Example:
        >>> drawn = {"sub-1/anat/sub-1_desc-manual": [Path("sub-1_desc-manual_dseg.nii.gz")]}
        >>> list(match_references(["sub-1/anat/sub-1_desc-T2w", "sub-2/anat/sub-2_desc-T2w"], drawn))
        ['sub-1/anat/sub-1_desc-T2w']
    """
    alike: defaultdict[str, list[Path]] = defaultdict(list)
    for name, paths in references.items():
        alike[_entities(name)] += paths
    found = {case: references.get(case) or alike.get(_entities(case), []) for case in cases}
    return {case: paths for case, paths in found.items() if paths}


def companion(folder: Path, case: str, ending: str) -> Path | None:
    """Return a file that lies beside the segmentation of a case, or None where there is none.

    Args:
        folder: top of the tree.
        case: relative folder and NAME.
        ending: what it is: `prob`, `recon`, `recurrences` or `uncertainty`.

    Example:
        >>> companion(Path("nowhere"), "case", "recon") is None
        True
    """
    return _first(folder, _beside(case, ending))


def find_image(folder: Path, case: str, contrast: str | None = None) -> Path | None:
    """Return the image of a case, or None where there is none.

    Args:
        folder: top of a tree of `NAME.nii.gz`, or of `NAME_CONTRAST.nii.gz`; in BIDS without `desc`.
        case: relative folder and NAME.
        contrast: what the name ends with, such as `FLAIR`; or None.
    """
    ending = "" if contrast is None else f"_{contrast}"
    return _first(folder, [f"{case}{ending}", f"{_entities(case)}{ending}"])


def _beside(case: str, ending: str) -> list[str]:
    """Names, without suffix, of what lies beside a segmentation."""
    folder, slash, name = case.rpartition("/")
    try:
        derivative = derivative_name(name, ending)
    except ValueError:  # no name of BIDS
        return [f"{case}_{ending}"]
    return [f"{case}_{ending}", folder + slash + without_suffix(derivative, NIFTI_SUFFIXES)]


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    paths = (folder / f"{name}{suffix}" for name in names for suffix in NIFTI_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _entities(name: str) -> str:
    match = _DESCRIBED.fullmatch(name)
    return match["entities"] if match else name
