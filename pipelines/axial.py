"""Axial slices as a radiologist reads them: anterior up, the patient's right on the left of the page."""

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from kseg.pipelines.metrics import voxel_spacing_mm

_DISPLAY_AXES = ("L", "P", "S")


def axial_slices(array: NDArray[np.generic], affine: NDArray[np.float64]) -> NDArray[np.generic]:
    """Turn a volume into axial slices for display.

    Axes are permuted and flipped, nothing is resampled: an oblique grid is shown along its nearest axes.

    Args:
        array: voxel values (x, y, slice), with or without further axes.
        affine: 4 x 4, from (x, y, slice) indices to RAS millimetres.

    Returns:
        (slice from inferior to superior, row from anterior to posterior, column from right to left, ...).

    Example:
        >>> volume = np.zeros((3, 4, 5))
        >>> volume[2, 3, 0] = 1  # rightmost, most anterior, lowest
        >>> np.argwhere(axial_slices(volume, np.eye(4)))
        array([[0, 0, 0]])
    """
    turned = nib.orientations.apply_orientation(array, _orientation(affine))
    return np.moveaxis(turned, [2, 1, 0], [0, 1, 2])


def pixel_size_mm(affine: NDArray[np.float64]) -> tuple[float, float]:
    """Height and width of one pixel of `axial_slices`.

    Args:
        affine: 4 x 4, from (x, y, slice) indices to RAS millimetres.

    Example:
        >>> pixel_size_mm(np.diag([1.0, 2.0, 3.0, 1.0]))
        (2.0, 1.0)
    """
    spacing = voxel_spacing_mm(affine)
    axis_shown = _orientation(affine)[:, 0].astype(int).tolist()
    return spacing[axis_shown.index(1)], spacing[axis_shown.index(0)]


def largest_slice(mask: NDArray[np.bool_]) -> int:
    """Find the slice with the largest cross-section; the middle one where there is nothing.

    Args:
        mask: (slice, row, column).

    Example:
        >>> mask = np.zeros((5, 2, 2), bool)
        >>> largest_slice(mask)
        2
        >>> mask[4, 0] = True
        >>> largest_slice(mask)
        4
    """
    areas = mask.sum(axis=(1, 2))
    return int(areas.argmax()) if areas.any() else len(mask) // 2


def _orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    stored = nib.orientations.io_orientation(affine)
    shown = nib.orientations.axcodes2ornt(_DISPLAY_AXES)
    turn: NDArray[np.float64] = nib.orientations.ornt_transform(stored, shown)
    return turn
