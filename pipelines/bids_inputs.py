"""Find the scans of a BIDS dataset.

Reference: Brain Imaging Data Structure 1.11, https://bids-specification.readthedocs.io
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kseg.pipelines.batch import find_files
from kseg.pipelines.scan_files import IMAGE_SUFFIXES, KSPACE_SUFFIXES
from kseg.transforms.errors import InputError

DESCRIPTION = "dataset_description.json"
SOURCE_DATA = "sourcedata"
# BIDS has no place for k-space; what it knows is kept where it keeps data from before their conversion.
_SCAN = re.compile(
    rf"""(?P<before>{SOURCE_DATA}/)?
    (?P<folder>sub-[0-9a-zA-Z+]+/(?:ses-[0-9a-zA-Z+]+/)?anat)/
    (?P<entities>sub-[^/]*?)(?:_desc-(?P<desc>[0-9a-zA-Z+]+))?_(?P<suffix>[0-9a-zA-Z]+)""",
    re.VERBOSE,
)
_SUFFIXES = ("T1w", "T2w", "PDw")
# Of a scan that is stored as several images, the magnitude is segmented.
_NO_MAGNITUDE = re.compile(r"_part-(?:phase|real|imag)(?:_|$)")


def find_bids(source: Path, leave_out: Path) -> dict[str, list[Path]]:
    """Find the anatomical scans of a BIDS dataset.

    These are images, `sub-*/[ses-*/]anat/*_{T1w,T2w,PDw}.nii[.gz]`, and k-space of the same names with the suffix
    `.h5` or `.mrd`, below `sourcedata/`. Images of phase, real or imaginary parts are left aside.

    Args:
        source: folder of the dataset.
        leave_out: the output folder, which may lie inside, such as `derivatives/kseg`.

    Returns:
        Files of each case, keyed by the beginning of the names of its derivatives: relative folder, entities,
        and `desc` with what was segmented, `sub-1/anat/sub-1_desc-T2w` or `..._desc-T2wkspace`.

    Raises:
        InputError: no dataset, or a folder that cannot be used, see `find_files`.
    """
    found = find_files(source, KSPACE_SUFFIXES + IMAGE_SUFFIXES, leave_out) if source.is_dir() else {}
    require_bids(source)
    cases: dict[str, list[Path]] = {}
    for name, paths in found.items():
        case = _case(name)
        suffixes = IMAGE_SUFFIXES if case is None or not case.endswith("kspace") else KSPACE_SUFFIXES
        scans = [path for path in paths if path.name.endswith(suffixes)]
        if case is not None and scans:
            cases.setdefault(case, []).extend(scans)
    return dict(sorted(cases.items()))


def require_bids(source: Path) -> None:
    """Require that a folder is a BIDS dataset.

    Args:
        source: the folder.

    Raises:
        InputError: it is not.
    """
    if not (source / DESCRIPTION).is_file():
        raise InputError(source, "find inputs", f"a BIDS dataset, a folder with {DESCRIPTION}", "none")


def bids_case(name: str, contrasts: Sequence[str]) -> str | None:
    """Name the case of an image that is segmented together with others.

    Args:
        name: relative folder and name of the image, without suffix.
        contrasts: those that are segmented together.

    Returns:
        Relative folder, entities, and `desc` with all contrasts; None for what is no such image.

    Example:
        >>> bids_case("sub-1/anat/sub-1_FLAIR", ("T1w", "FLAIR"))
        'sub-1/anat/sub-1_desc-T1wFLAIR'
    """
    match = _match(name, contrasts)
    if match is None or match["before"]:
        return None
    return f"{match['folder']}/{match['entities']}_desc-{match['desc'] or ''}{''.join(contrasts)}"


def across_spaces(
    cases: Mapping[str, Mapping[str, list[Path]]], contrasts: Sequence[str]
) -> dict[str, dict[str, list[Path]]]:
    """Join images that were registered to another contrast of the same head: their names say `space-T1w` or the like.

    Images of one space, or of none, that are all contrasts stay a case of their own. Others in the space of a
    contrast take what they lack from those of no space. Their case is named without `space`, unless that name is
    taken.

    Args:
        cases: images of each case of `bids_case` by contrast.
        contrasts: those that are segmented together.

    Returns:
        The same of the joined cases. Several images of a contrast are ambiguous.

    Example:
        >>> cases = {"sub-1_desc-x": {"T1w": [Path("a")]}, "sub-1_space-T1w_desc-x": {"T2w": [Path("b")]}}
        >>> {case: list(images) for case, images in across_spaces(cases, ("T1w", "T2w")).items()}
        {'sub-1_desc-x': ['T1w', 'T2w']}
    """
    space = re.compile(rf"_space-({'|'.join(map(re.escape, contrasts))})(?=_)")
    whole = {case for case, images in cases.items() if len(images) == len(contrasts)}
    joined: dict[str, dict[str, list[Path]]] = {}
    for case, images in cases.items():
        bare = space.sub("", case)
        own = bool(whole & {case, bare})
        chosen = joined.setdefault(case if own else bare, {})
        lent = cases[bare] if own and case not in whole else {}
        for contrast, paths in {**lent, **images}.items():
            chosen.setdefault(contrast, []).extend(paths)
    return joined


def _case(name: str) -> str | None:
    match = _match(name, _SUFFIXES)
    if match is None:
        return None
    kind = "kspace" if match["before"] else ""
    return f"{match['folder']}/{match['entities']}_desc-{match['desc'] or ''}{match['suffix']}{kind}"


def _match(name: str, suffixes: Sequence[str]) -> re.Match[str] | None:
    match = _SCAN.fullmatch(name)
    if match is None or match["suffix"] not in suffixes or _NO_MAGNITUDE.search(match["entities"]):
        return None
    return match
