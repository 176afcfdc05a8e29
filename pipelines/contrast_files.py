"""Images of one patient in several contrasts: `NAME_T1w.nii.gz`, `NAME_T2w.nii.gz` and so on in one folder."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from kseg.pipelines.batch import find_files
from kseg.pipelines.bids_inputs import across_spaces, bids_case, require_bids
from kseg.pipelines.cases import without_suffix
from kseg.pipelines.find_segmentations import RESULT_ENDINGS
from kseg.pipelines.items import Item, look_at
from kseg.pipelines.scan_files import IMAGE_SUFFIXES
from kseg.transforms.errors import InputError

_logger = logging.getLogger(__name__)

_FIND, _STAGE = "find inputs", "find contrasts"
_NAMES_SHOWN = 3


def find_contrasts(source: Path, output: Path, contrasts: Sequence[str], *, bids: bool = False) -> list[Item]:
    """Find the images of patients, to any depth.

    A case is what lies in one folder under names that differ in the contrast alone, in BIDS also in `space`, see
    `across_spaces`. Where one contrast is there and another is not, the case is listed all the same, so that doing
    it says what is missing. Images of other names are left aside and named in the log, save what kseg itself writes.

    Args:
        source: a folder, or one of the images of a case.
        output: output folder, which may lie inside.
        contrasts: what the names end with, such as `T1w`, in the order in which a network takes them.
        bids: the folder is a BIDS dataset, of which the anatomical images are wanted.

    Returns:
        Cases, sorted: relative folder and NAME; in BIDS with `desc` and the contrasts behind the entities.

    Raises:
        InputError: the source or the output cannot be used, see `find_files`; a file of no contrast; a folder that
            holds images, but none of a contrast; no dataset.
    """
    if bids:
        require_bids(source)
    found = find_files(source, IMAGE_SUFFIXES, output)
    if source.is_file():
        found = _beside(source, contrasts)
    cases: dict[str, dict[str, list[Path]]] = {}
    left_aside: list[Path] = []
    for name, paths in found.items():
        contrast = _contrast(name, contrasts) or ""
        case = bids_case(name, contrasts) if bids else name.removesuffix(f"_{contrast}")
        if contrast and case:
            cases.setdefault(case, {})[contrast] = paths
        elif not name.endswith(RESULT_ENDINGS):
            left_aside += paths
    if left_aside:
        told = _count_and_names(source, left_aside)
        if not cases:
            raise no_case(source, contrasts, f"other images {told}", bids=bids)
        _logger.info("%s: other images left aside %s", source, told)
    if bids:
        cases = across_spaces(cases, contrasts)
    items = []
    for case, by_contrast in sorted(cases.items()):
        first, *others = [path for each in contrasts for path in by_contrast.get(each, [])]
        items.append(look_at(case, first, parts=tuple(path.name for path in others)))
    return items


def contrast_paths(item: Item, contrasts: Sequence[str]) -> list[Path]:
    """The image of each contrast of a case.

    Args:
        item: a case of `find_contrasts`.
        contrasts: those that are wanted, in their order.

    Raises:
        InputError: there is none of a contrast, or several.
    """
    names = [without_suffix(path.name, IMAGE_SUFFIXES) for path in item.files]
    stem = names[0].removesuffix(f"_{_contrast(names[0], contrasts)}")
    chosen = []
    for contrast in contrasts:
        ending = f"_{contrast}"
        paths = [path for path, name in zip(item.files, names, strict=True) if name.endswith(ending)]
        if len(paths) != 1:
            received = ", ".join(path.name for path in paths) or "none"
            raise InputError(item.path, _STAGE, f"one image {stem}_{contrast} beside it", received)
        chosen += paths
    return chosen


def no_case(
    source: str | os.PathLike[str], contrasts: Sequence[str], received: str, *, bids: bool = False
) -> InputError:
    """The error of a folder without a case.

    Args:
        source: the folder.
        contrasts: what the names of its images should end with.
        received: what is there instead.
        bids: the folder is a BIDS dataset.
    """
    where = " in the anat folder of a subject" if bids else ""
    return InputError(source, _FIND, f"at least one case with {_names(contrasts)}{where}", received)


def _count_and_names(source: Path, paths: Sequence[Path]) -> str:
    """How many files there are, and the names of the first."""
    shown = [path.relative_to(source).as_posix() for path in paths[:_NAMES_SHOWN]]
    return f"({len(paths)}): {', '.join([*shown, '...'] if len(paths) > len(shown) else shown)}"


def _beside(image: Path, contrasts: Sequence[str]) -> dict[str, list[Path]]:
    """An image and what lies beside it under names that differ in the contrast alone."""
    name = without_suffix(image.name, IMAGE_SUFFIXES)
    contrast = _contrast(name, contrasts)
    if contrast is None:
        raise InputError(image, _FIND, f"a name like {_names(contrasts)}", image.name)
    stem = name.removesuffix(f"_{contrast}")
    files = {
        f"{stem}_{each}": [image.with_name(f"{stem}_{each}{suffix}") for suffix in IMAGE_SUFFIXES]
        for each in contrasts
    }
    there = {name: [path for path in paths if path.is_file()] for name, paths in files.items()}
    return {name: paths for name, paths in there.items() if paths}


def _names(contrasts: Sequence[str]) -> str:
    return ", ".join(f"NAME_{each}.nii.gz" for each in contrasts)


def _contrast(name: str, contrasts: Sequence[str]) -> str | None:
    """The contrast that a name ends with; something has to stand before it, or results would have no name."""
    name = name.rpartition("/")[2]
    return next((each for each in contrasts if name.endswith(f"_{each}") and name != f"_{each}"), None)
