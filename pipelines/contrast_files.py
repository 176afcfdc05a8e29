"""Images of one patient in several contrasts: `NAME_T1w.nii.gz`, `NAME_T2w.nii.gz` and so on in one folder."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from kseg.pipelines.batch import find_files
from kseg.pipelines.bids_inputs import bids_case, require_bids
from kseg.pipelines.cases import without_suffix
from kseg.pipelines.items import Item, look_at
from kseg.pipelines.scan_files import IMAGE_SUFFIXES
from kseg.transforms.errors import InputError

_FIND, _STAGE = "find inputs", "find contrasts"


def find_contrasts(source: Path, output: Path, contrasts: Sequence[str], *, bids: bool = False) -> list[Item]:
    """Find the images of patients, to any depth.

    A case is what lies in one folder under names that differ in the contrast alone. Where one contrast is there and
    another is not, the case is listed all the same, so that doing it says what is missing.

    Args:
        source: a folder, or one of the images of a case.
        output: output folder, which may lie inside.
        contrasts: what the names end with, such as `T1w`, in the order in which a network takes them.
        bids: the folder is a BIDS dataset, of which the anatomical images are wanted.

    Returns:
        Cases, sorted: relative folder and NAME; in BIDS with `desc` and the contrasts behind the entities.

    Raises:
        InputError: the source or the output cannot be used, see `find_files`; a file of no contrast; no dataset.
    """
    if bids:
        require_bids(source)
    found = find_files(source, IMAGE_SUFFIXES, output)
    if source.is_file():
        found = _beside(source, contrasts)
    cases: defaultdict[str, dict[str, list[Path]]] = defaultdict(dict)
    for name, paths in found.items():
        contrast = _contrast(name, contrasts)
        if contrast is None or not paths:
            continue
        case = bids_case(name, contrasts) if bids else name.removesuffix(f"_{contrast}")
        if case is not None:
            cases[case][contrast] = paths
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
    names = {path: without_suffix(path.name, IMAGE_SUFFIXES) for path in item.files}
    stem = min(names.values(), key=len)
    first = _contrast(stem, contrasts)
    stem = stem.removesuffix(f"_{first}")
    chosen = []
    for contrast in contrasts:
        paths = [path for path, name in names.items() if name == f"{stem}_{contrast}"]
        if len(paths) != 1:
            received = ", ".join(path.name for path in paths) or "none"
            raise InputError(item.path, _STAGE, f"one image {stem}_{contrast} beside it", received)
        chosen += paths
    return chosen


def _beside(image: Path, contrasts: Sequence[str]) -> dict[str, list[Path]]:
    """An image and what lies beside it under names that differ in the contrast alone."""
    name = without_suffix(image.name, IMAGE_SUFFIXES)
    contrast = _contrast(name, contrasts)
    if contrast is None:
        expected = f"a name that ends in {', '.join(f'_{each}' for each in contrasts)}"
        raise InputError(image, _FIND, expected, image.name)
    stem = name.removesuffix(f"_{contrast}")
    files = {
        f"{stem}_{each}": [image.with_name(f"{stem}_{each}{suffix}") for suffix in IMAGE_SUFFIXES]
        for each in contrasts
    }
    return {name: [path for path in paths if path.is_file()] for name, paths in files.items()}


def _contrast(name: str, contrasts: Sequence[str]) -> str | None:
    """The contrast that a name ends with."""
    return next((each for each in contrasts if name.endswith(f"_{each}")), None)
