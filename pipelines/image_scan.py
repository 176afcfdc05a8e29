"""Treat an image as if it had just been scanned: image to k-space, and results back to its grid.

k-space made from a magnitude image is Hermitian and free of everything reconstruction has thrown away; what a
network achieves on it is optimistic.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from torch import Tensor

from kseg.transforms.errors import InputError
from kseg.transforms.fourier import fft2c
from kseg.transforms.head import canonical
from kseg.transforms.nifti import NiftiVolume

_PIXEL_MM, _TOLERANCE = 1.0, 0.02
_WIDEST_MM = 1000.0
_STAGE = "read image"


@dataclass(frozen=True, eq=False)
class ImageScan:
    """An image as axial slices of k-space, and the way back.

    Attributes:
        kspace: `(slice, 1, y, x)`, complex64, in-plane pixels of 1 mm.
        affine: affine of the image, 4 x 4.
        canonical_shape: (slice, y, x) of the image turned to canonical orientation.
    """

    kspace: Tensor
    affine: npt.NDArray[np.float64]
    canonical_shape: tuple[int, int, int]

    def to_input_grid(self, values: Tensor) -> npt.NDArray[Any]:
        """Bring results back to the grid and orientation of the image.

        Args:
            values: float, `(slice, channel, y, x)` on the grid of the k-space; interpolated linearly in plane.

        Returns:
            Array `(x, y, z, channel)` in the file order of the image.
        """
        _, n_y, n_x = self.canonical_shape
        turned = _resampled(values, (n_y, n_x)).permute(3, 2, 0, 1).numpy()
        back = ornt_transform(axcodes2ornt("RAS"), io_orientation(self.affine))
        return np.ascontiguousarray(apply_orientation(turned, back))


def scan_image(path: Path, volume: NiftiVolume) -> ImageScan:
    """Make k-space of the axial slices of an image.

    The image is turned to canonical orientation; in-plane pixels are resampled to 1 mm, the resolution of the
    shipped network, if they differ by more than 2 %; slices stay as they are.

    Args:
        path: where the image is from, for messages.
        volume: image of any orientation and voxel size.

    Raises:
        InputError: an image that is zero everywhere or beyond what float32 holds, or one that is wider than 1 m.
    """
    with np.errstate(over="ignore"):
        array = volume.array.astype(np.float32)
    if not array.any():
        raise InputError(path, _STAGE, "an image with signal", "zeros everywhere")
    if not np.isfinite(array).all():
        raise InputError(path, _STAGE, "values that float32 holds", f"{np.abs(volume.array).max():g}")
    turned, (_, size_y, size_x), _ = canonical(array, volume.affine)
    n_slices, n_y, n_x = turned.shape
    if max(n_y * size_y, n_x * size_x) > _WIDEST_MM:
        received = f"{n_y * size_y:g} x {n_x * size_x:g} mm"
        raise InputError(path, _STAGE, f"axial slices of at most {_WIDEST_MM:g} mm", received)
    size = _count(n_y, size_y), _count(n_x, size_x)
    slices = _resampled(torch.from_numpy(turned)[:, None], size)
    return ImageScan(fft2c(slices.to(torch.complex64)), volume.affine, (n_slices, n_y, n_x))


def _count(count: int, size_mm: float) -> int:
    """Pixels of 1 mm on the same extent."""
    if abs(size_mm / _PIXEL_MM - 1) <= _TOLERANCE:
        return count
    return max(1, round(count * size_mm / _PIXEL_MM))


def _resampled(values: Tensor, size: tuple[int, int]) -> Tensor:
    n_y, n_x = values.shape[-2:]
    if (n_y, n_x) == size:
        return values
    shrinking = size[0] < n_y or size[1] < n_x
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=shrinking)
