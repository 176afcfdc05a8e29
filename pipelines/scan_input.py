"""Open what is segmented: k-space files, and images and DICOM series of which k-space is made."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from kseg.pipelines.image_scan import scan_image
from kseg.pipelines.input_grid import InputGrid
from kseg.pipelines.scan_files import IMAGE_SUFFIXES, KSPACE_SUFFIXES
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.dicom_series import read_dicom_series
from kseg.transforms.kspace_file import read_kspace
from kseg.transforms.nifti import NiftiVolume, read_nifti
from kseg.transforms.sampling import gaussian_lines, line_count
from kseg.transforms.seeds import item_generator

_HERMITIAN = "k-space made from a magnitude image is Hermitian; results on it are optimistic"
_INFERRED = "mask inferred from the empty samples"
_NO_SERIES = "no DICOM segmentation: the input is no DICOM series"


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan(InputGrid):
    """What a file holds, and the grid of its results.

    Attributes:
        kspace: `(slice, coil, y, x)`.
        mask: `(x,)`, `(slice, x)` or `(slice, y, x)`.
        maps: sensitivities of the coils, where the file has them, `(coil, slice, y, x)`.
    """

    kspace: Tensor
    mask: Tensor
    maps: Tensor | None = None


def open_scan(path: Path, case: str, settings: SegmentSettings) -> Scan:
    """Open a k-space file, or make the k-space of an image or a DICOM series.

    Args:
        path: k-space (`.h5`, `.mrd`), image (`.nii`, `.nii.gz`), or a file of a DICOM series under any other name.
        case: relative folder and name, which decide the lines of an image.
        settings: how images are treated.

    Raises:
        InputError: a file that cannot be used.
    """
    if path.name.endswith(KSPACE_SUFFIXES):
        scan = _open_kspace(path)
    elif path.name.endswith(IMAGE_SUFFIXES):
        scan = _open_image(path, read_nifti(path), (path,), case, settings)
    else:
        series = read_dicom_series(path)
        return replace(_open_image(path, series.volume, series.files, case, settings), is_dicom=True)
    return replace(scan, notes=[*scan.notes, _NO_SERIES]) if settings.dicom_seg else scan


def _open_kspace(path: Path) -> Scan:
    volume = read_kspace(path)

    def to_grid(values: Tensor) -> npt.NDArray[Any]:
        return values.permute(3, 2, 0, 1).contiguous().numpy()

    notes = [*volume.notes, *([_INFERRED] if volume.mask_inferred else [])]
    return Scan(
        kspace=volume.kspace,
        mask=volume.mask,
        maps=volume.maps,
        affine=volume.affine,
        to_grid=to_grid,
        notes=notes,
        files=(path,),
    )


def _open_image(
    path: Path, volume: NiftiVolume, files: tuple[Path, ...], case: str, settings: SegmentSettings
) -> Scan:
    scan = scan_image(path, volume)
    n_x = scan.kspace.shape[-1]
    mask = torch.ones(n_x, dtype=torch.bool)
    if settings.fraction < 1:
        n_lines = line_count(n_x, settings.fraction)
        mask = gaussian_lines(n_x, n_lines, settings.center_lines, item_generator(settings.seed, case))
    return Scan(
        kspace=scan.kspace,
        mask=mask,
        affine=scan.affine,
        to_grid=scan.to_input_grid,
        notes=[_HERMITIAN, *volume.notes],
        files=files,
    )
