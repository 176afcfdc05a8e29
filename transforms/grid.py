"""The grid a scan acquires, and where it lies on a head."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AcquisitionGrid:
    """Number and size of the acquired voxels.

    Attributes:
        shape: voxels along (slice, y, x).
        spacing_mm: voxel size along (slice, y, x), millimetres.
        headroom_mm: distance from the highest cortex to the upper edge of the top slice, millimetres.
    """

    shape: tuple[int, int, int] = (57, 216, 180)
    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0)
    headroom_mm: float = 6.0


@dataclass(frozen=True)
class GridRange:
    """Grids that are as large as a brain needs, as a technician would choose them.

    The defaults are those of a clinical protocol: 44 to 60 slices of 230 x 320 to 260 x 320 voxels.

    Attributes:
        smallest: fewest voxels along (slice, y, x).
        largest: most voxels along (slice, y, x).
        spacing_mm: voxel size along (slice, y, x), millimetres.
        margin_mm: between the cortex and either edge of the grid along (slice, y, x), millimetres.
    """

    smallest: Sequence[int] = (44, 320, 230)
    largest: Sequence[int] = (60, 320, 260)
    spacing_mm: Sequence[float] = (3.0, 0.7, 0.7)
    margin_mm: Sequence[float] = (8.0, 15.0, 15.0)

    def fit(self, cortex: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> "AcquisitionGrid":
        """Choose the grid of a brain.

        Args:
            cortex: grey matter of the canonical volume, `(z, y, x)`.
            spacing_mm: voxel size of the volume along (z, y, x), millimetres.

        Raises:
            ValueError: there is no cortex.
        """
        shape = []
        for axis, (low, high) in enumerate(_extents(cortex, spacing_mm)):
            wanted = math.ceil((high - low + 2 * self.margin_mm[axis]) / self.spacing_mm[axis])
            shape.append(min(max(wanted, self.smallest[axis]), self.largest[axis]))
        z, y, x = self.spacing_mm
        return AcquisitionGrid((shape[0], shape[1], shape[2]), (z, y, x), headroom_mm=self.margin_mm[0])


@dataclass(frozen=True)
class PlacedGrid:
    """An acquisition grid on a canonical (x to the right, y anterior, z superior) voxel volume.

    Attributes:
        grid: number and size of the acquired voxels.
        origin_mm: lower edge of the first voxel along (slice, y, x), millimetres from the lower edge of
            the volume's first voxel.
    """

    grid: AcquisitionGrid
    origin_mm: tuple[float, float, float]

    def affine(self, volume_affine: Array, volume_spacing_mm: tuple[float, float, float]) -> Array:
        """Affine that maps (x, y, slice) indices of the grid to RAS millimetres.

        Args:
            volume_affine: affine of the canonical volume, (x, y, z) to RAS millimetres.
            volume_spacing_mm: voxel size of the volume along (z, y, x), millimetres.
        """
        to_volume = np.eye(4)
        for axis in range(3):
            size, start, spacing = self.grid.spacing_mm[axis], self.origin_mm[axis], volume_spacing_mm[axis]
            column = 2 - axis
            to_volume[column, column] = size / spacing
            to_volume[column, 3] = (start + size / 2) / spacing - 0.5
        return volume_affine @ to_volume


def place_grid(
    grid: AcquisitionGrid, cortex: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> PlacedGrid:
    """Lay a grid over a brain so that no cortex is lost.

    In plane the grid is centred on the cortex; the top slice ends `headroom_mm` above it. Edges snap to
    voxel edges of the volume, so that volumes of the grid's own resolution are not interpolated.

    Args:
        grid: number and size of the acquired voxels.
        cortex: grey matter of the canonical volume, shape `(z, y, x)`.
        spacing_mm: voxel size of the volume along (z, y, x), millimetres.

    Returns:
        The placed grid.

    Raises:
        ValueError: there is no cortex, or it is larger than the grid.
    """
    origin = []
    for axis, (low, high) in enumerate(_extents(cortex, spacing_mm)):
        extent = grid.shape[axis] * grid.spacing_mm[axis]
        room = grid.headroom_mm if axis == 0 else 0.0
        if high - low + room > extent:
            name = ("slice", "y", "x")[axis]
            raise ValueError(
                f"placing the grid: expected cortex of at most {extent - room:g} mm along {name}, "
                f"received {high - low:g} mm"
            )
        start = high + room - extent if axis == 0 else (low + high - extent) / 2
        origin.append(round(start / spacing_mm[axis]) * spacing_mm[axis])
    return PlacedGrid(grid, (origin[0], origin[1], origin[2]))


def _extents(
    cortex: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> list[tuple[float, float]]:
    """Lower and upper edge of the cortex along (z, y, x), millimetres."""
    if not cortex.any():
        raise ValueError("placing the grid: expected grey matter in the label map, received none")
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(cortex.any(axis=others))
        extents.append((inside[0] * spacing_mm[axis], (inside[-1] + 1) * spacing_mm[axis]))
    return extents


def overlap_matrix(n_out: int, size: float, origin: float, n_in: int, spacing: float) -> Array:
    """Share of each input voxel in each output voxel along one axis.

    Args:
        n_out: output voxels.
        size: size of an output voxel, millimetres.
        origin: lower edge of the first output voxel, millimetres from the lower edge of the first input voxel.
        n_in: input voxels.
        spacing: size of an input voxel, millimetres.

    Returns:
        Overlap divided by size, shape `(n_out, n_in)`; a row sums to 1 inside the volume, less at its rim.

    Example:
        >>> overlap_matrix(2, 1.5, 0.0, 3, 1.0).round(3)
        array([[0.667, 0.333, 0.   ],
               [0.   , 0.333, 0.667]])
    """
    low = origin + size * np.arange(n_out)[:, None]
    edges = spacing * np.arange(n_in)[None]
    overlap = np.minimum(low + size, edges + spacing) - np.maximum(low, edges)
    share: Array = np.clip(overlap, 0, None) / size
    return share
