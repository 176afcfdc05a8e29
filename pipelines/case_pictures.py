"""Find and read what belongs to one segmentation, and draw it."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from kseg.pipelines.axial import axial_slices, largest_slice, pixel_size_mm
from kseg.pipelines.cases import one_file
from kseg.pipelines.figures import AxialSlice, contour_figure, recurrence_figure
from kseg.pipelines.find_segmentations import companion, find_image
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import DAMAGE, NiftiVolume, read_label_map, read_nifti, require_same_grid

_STAGE = "draw"


@dataclass(frozen=True)
class CaseSources:
    """Where the files of the cases lie.

    Args:
        folder: segmentations, with reconstruction and recurrences beside them if written.
        found: the segmentations of each case below it.
        references: the reference label maps of each case, see `match_references`.
        images: folder of images, drawn where there is no reconstruction; or None.
        contrast: what the names of the images end with, see `find_image`; or None.
    """

    folder: Path
    found: Mapping[str, list[Path]]
    references: Mapping[str, list[Path]] = field(default_factory=dict)
    images: Path | None = None
    contrast: str | None = None


@dataclass(frozen=True)
class CasePictures:
    """The pictures of one case.

    Args:
        slice_number: which axial slice is shown, from 1, the lowest first.
        n_slices: axial slices of the volume.
        contours: PNG of the outlines.
        recurrences: PNG of the probability maps; or None.
    """

    slice_number: int
    n_slices: int
    contours: bytes
    recurrences: bytes | None


def draw_case(case: str, sources: CaseSources, classes: Mapping[int, str]) -> CasePictures:
    """Draw the axial slice in which the classes are largest: those of the reference, where it has any.

    Args:
        case: relative folder and NAME.
        sources: where its files lie.
        classes: label values and their names.

    Raises:
        InputError: a file of the case cannot be read, lies on another grid than its segmentation, or is one of
            several.
        ValueError: the voxel axes are not at right angles.
    """
    segmentation_path = one_file(sources.found, case, sources.folder, _STAGE)
    segmentation = read_label_map(segmentation_path)
    image_path = companion(sources.folder, case, "recon")
    if image_path is None and sources.images is not None:
        image_path = find_image(sources.images, case, sources.contrast)
    image = None if image_path is None else _read_like(image_path, segmentation)
    reference = None
    if case in sources.references:
        reference_path = one_file(sources.references, case, sources.folder, _STAGE)
        reference = _read_like(reference_path, segmentation, labels=True)

    labels = axial_slices(segmentation.array, segmentation.affine)
    truth = None if reference is None else axial_slices(reference.array, segmentation.affine)
    structures = np.isin(labels if truth is None else truth, list(classes))
    number = largest_slice(structures if structures.any() else np.isin(labels, list(classes)))
    view = AxialSlice(
        segmentation=labels[number],
        pixel_mm=pixel_size_mm(segmentation.affine),
        image=None if image is None else axial_slices(image.array, segmentation.affine)[number],
        reference=None if truth is None else truth[number],
    )
    recurrences_path = companion(sources.folder, case, "recurrences")
    recurrences = None
    if recurrences_path is not None:
        maps = _read_recurrences(recurrences_path, segmentation, number, max(classes))
        recurrences = recurrence_figure(maps, view, classes)
    return CasePictures(number + 1, len(labels), contour_figure(view, classes), recurrences)


def _read_like(path: Path, segmentation: NiftiVolume, labels: bool = False) -> NiftiVolume:
    volume = read_label_map(path) if labels else read_nifti(path)
    require_same_grid(path, volume, segmentation, _STAGE)
    return volume


def _read_recurrences(
    path: Path, segmentation: NiftiVolume, number: int, last_class: int
) -> NDArray[np.float32]:
    try:
        content = path.read_bytes()
        # Decompressed whole, so that the checksum at the end is verified.
        volume = Nifti1Image.from_bytes(gzip.decompress(content) if path.suffix == ".gz" else content)
        proxy: Any = volume.dataobj
        stored = proxy.get_unscaled()
    except DAMAGE as error:
        raise InputError(path, _STAGE, "an intact NIfTI file", f"{type(error).__name__}: {error}") from error
    if stored.ndim != 5:
        raise InputError(path, _STAGE, "five axes (x, y, slice, class, recurrence)", f"shape {stored.shape}")
    if stored.shape[3] <= last_class:
        raise InputError(path, _STAGE, f"maps of the classes 0..{last_class}", f"{stored.shape[3]} maps")
    require_same_grid(path, NiftiVolume(stored[..., 0, 0], volume.affine), segmentation, _STAGE)
    # Only the slice that is shown is scaled: as floats the whole would be eight times as large.
    shown = axial_slices(stored, segmentation.affine)[number]
    return np.asarray(shown * proxy.slope + proxy.inter, np.float32)
