"""Open what is segmented: k-space files, and images of which k-space is made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg.pipelines.image_scan import scan_image
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.kspace_file import read_kspace
from kseg.transforms.sampling import gaussian_lines, line_count
from kseg.transforms.seeds import item_generator

KSPACE_SUFFIXES = (".h5", ".mrd")
IMAGE_SUFFIXES = (".nii", ".nii.gz")

_HERMITIAN = "k-space made from a magnitude image is Hermitian; results on it are optimistic"
_INFERRED = "mask inferred from the empty samples"


@dataclass(frozen=True, eq=False)
class Scan:
    """What a file holds, and how results get to its grid.

    Attributes:
        kspace: `(slice, coil, y, x)`.
        mask: `(x,)`, `(slice, x)` or `(slice, y, x)`.
        affine: of the grid of the results.
        to_grid: turns results `(slice, channel, y, x)` into `(x, y, z, channel)`.
        notes: what the reader of the results should know.
    """

    kspace: Tensor
    mask: Tensor
    affine: npt.NDArray[np.float64]
    to_grid: Callable[[Tensor], npt.NDArray[Any]]
    notes: list[str]


def open_scan(path: Path, case: str, settings: SegmentSettings) -> Scan:
    """Open a k-space file, or make the k-space of an image.

    Args:
        path: k-space (`.h5`, `.mrd`) or image (`.nii`, `.nii.gz`).
        case: relative folder and name, which decide the lines of an image.
        settings: how images are treated.

    Raises:
        InputError: a file that cannot be used.
    """
    if path.name.endswith(KSPACE_SUFFIXES):
        return _open_kspace(path)
    return _open_image(path, case, settings)


def _open_kspace(path: Path) -> Scan:
    volume = read_kspace(path)

    def to_grid(values: Tensor) -> npt.NDArray[Any]:
        return values.permute(3, 2, 0, 1).contiguous().numpy()

    notes = [_INFERRED] if volume.mask_inferred else []
    return Scan(volume.kspace, volume.mask, volume.affine, to_grid, notes)


def _open_image(path: Path, case: str, settings: SegmentSettings) -> Scan:
    scan = scan_image(path)
    n_x = scan.kspace.shape[-1]
    mask = torch.ones(n_x, dtype=torch.bool)
    if settings.fraction < 1:
        n_lines = line_count(n_x, settings.fraction)
        mask = gaussian_lines(n_x, n_lines, settings.center_lines, item_generator(settings.seed, case))
    return Scan(scan.kspace, mask, scan.affine, scan.to_input_grid, [_HERMITIAN])
