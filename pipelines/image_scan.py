"""Treat an image as if it had just been scanned: NIfTI image to k-space, and results back to its grid.

k-space made from a magnitude image is Hermitian and free of everything reconstruction has thrown away; what a
network achieves on it is optimistic.
"""

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from torch import Tensor

from kseg.transforms.errors import InputError
from kseg.transforms.fourier import fft2c
from kseg.transforms.nifti import NiftiVolume, read_nifti

_PIXEL_MM = 1.0
_TOLERANCE = 0.02

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ImageScan:
    """An image as axial slices of k-space, and the way back.

    Attributes:
        kspace: `(slice, 1, y, x)`, complex64, in-plane pixels of 1 mm.
        volume: the image as it was read.
        canonical_shape: (slice, y, x) of the image turned to canonical orientation.
    """

    kspace: Tensor
    volume: NiftiVolume
    canonical_shape: tuple[int, int, int]

    def to_input_grid(self, values: Tensor) -> Array:
        """Bring results back to the grid and orientation of the image.

        Args:
            values: float, `(slice, channel, y, x)` on the grid of the k-space; interpolated linearly in plane.

        Returns:
            Array `(x, y, z, channel)` in the file order of the image.
        """
        _, n_y, n_x = self.canonical_shape
        if values.shape[-2:] != (n_y, n_x):
            values = F.interpolate(values, size=(n_y, n_x), mode="bilinear", align_corners=False)
        canonical = values.permute(3, 2, 0, 1).numpy()
        back = ornt_transform(axcodes2ornt("RAS"), io_orientation(self.volume.affine))
        return np.ascontiguousarray(apply_orientation(canonical, back))


def scan_image(path: Path) -> ImageScan:
    """Read a NIfTI image and make k-space of its axial slices.

    The image is turned to canonical orientation; in-plane pixels are resampled to 1 mm, the resolution of the
    shipped network, if they differ by more than 2 %; slices stay as they are.

    Args:
        path: NIfTI image of any orientation and voxel size.

    Raises:
        InputError: not a usable image, or one that is zero everywhere.
    """
    volume = read_nifti(path)
    if not volume.array.any():
        raise InputError(path, "read image", "an image with signal", "zeros everywhere")
    array = volume.array.astype(np.float32)
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, volume.affine))
    slices = torch.from_numpy(np.ascontiguousarray(np.asanyarray(canonical.dataobj).transpose(2, 1, 0)))
    size_x, size_y, _ = nibabel.affines.voxel_sizes(canonical.affine)
    n_slices, n_y, n_x = slices.shape
    new_y, new_x = _resampled(n_y, float(size_y)), _resampled(n_x, float(size_x))
    if (new_y, new_x) != (n_y, n_x):
        shrinking = new_y < n_y or new_x < n_x
        slices = F.interpolate(
            slices[:, None], size=(new_y, new_x), mode="bilinear", align_corners=False, antialias=shrinking
        )[:, 0]
    return ImageScan(fft2c(slices[:, None].to(torch.complex64)), volume, (n_slices, n_y, n_x))


def _resampled(count: int, size_mm: float) -> int:
    if abs(size_mm / _PIXEL_MM - 1) <= _TOLERANCE:
        return count
    return max(1, round(count * size_mm / _PIXEL_MM))
