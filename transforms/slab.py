"""Acquired slices of a head, without making the whole phantom."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.transforms.deformation import Deformation, nearest_labels
from kseg.transforms.grid import PlacedGrid
from kseg.transforms.head import CrispHead


def slab_fractions(
    head: CrispHead, placed: PlacedGrid, slice_index: float, deformation: Deformation | None = None
) -> Tensor:
    """Average the tissues of a head over the voxels of one slice.

    Every acquired voxel is sampled at as many points as it has source voxels. For a head whose voxels divide
    the acquired ones evenly, and without a deformation, this is what `make_phantom` gives for the slice.

    Args:
        head: crisp head.
        placed: the acquisition grid on the head.
        slice_index: which slice; fractional values lie between two slices of the grid.
        deformation: where the points of the deformed head come from; none for the head as it is.

    Returns:
        Share of each tissue, `(tissue, y, x)`, float32, summing to 1.
    """
    labels, per_voxel = _slab_labels(head, placed, slice_index, deformation)
    return _shares(labels, len(head.tissues), per_voxel)


@dataclass(frozen=True, eq=False)
class SampledHead:
    """A head at the sample points of all voxels of a grid: a byte for each point instead of a share of each tissue.

    Attributes:
        labels: index into tissues, `(slice, plane, row, column)`, uint8; the planes are those of one slice.
        tissues: tissue names, air first.
        per_voxel: points per voxel along (y, x).
    """

    labels: Tensor
    tissues: tuple[str, ...]
    per_voxel: tuple[int, int]

    def fractions(self, slices: slice) -> Tensor:
        """Share of each tissue in the voxels of some slices, `(tissue, slice, y, x)`, as `slab_fractions` gives."""
        shares = [_shares(labels, len(self.tissues), self.per_voxel) for labels in self.labels[slices]]
        return torch.stack(shares, dim=1)

    def share(self, tissue: str) -> Tensor:
        """Share of one tissue in all voxels, `(slice, y, x)`, float32; 0 if the head does not have it."""
        rows, columns = self.per_voxel
        n_slices, n_planes, height, width = self.labels.shape
        voxels = (n_slices, n_planes, height // rows, rows, width // columns, columns)
        if tissue not in self.tissues:
            return torch.zeros(n_slices, voxels[2], voxels[4])
        inside = (self.labels == self.tissues.index(tissue)).reshape(voxels)
        return inside.float().mean(dim=(1, 3, 5))


def sample_head(head: CrispHead, placed: PlacedGrid, deformation: Deformation | None = None) -> SampledHead:
    """Sample a head at the points of all slices of a grid, as `slab_fractions` does for one.

    Args:
        head: crisp head.
        placed: the acquisition grid on the head.
        deformation: where the points of the deformed head come from; none for the head as it is.
    """
    labels, per_voxel = [], (1, 1)
    for index in range(placed.grid.shape[0]):
        sampled, per_voxel = _slab_labels(head, placed, index, deformation)
        labels.append(sampled)
    return SampledHead(torch.stack(labels), head.tissues, per_voxel)


def _slab_labels(
    head: CrispHead, placed: PlacedGrid, slice_index: float, deformation: Deformation | None
) -> tuple[Tensor, tuple[int, int]]:
    """Tissue at the points of one slice, `(plane, row, column)`, and how many points a voxel has along (y, x)."""
    shape, size = (1, *placed.grid.shape[1:]), placed.grid.spacing_mm
    origin = (placed.origin_mm[0] + slice_index * size[0], *placed.origin_mm[1:])
    per_voxel = [max(1, round(size[axis] / head.spacing_mm[axis])) for axis in range(3)]
    z, y, x = (
        origin[axis] + size[axis] / per_voxel[axis] * (torch.arange(shape[axis] * per_voxel[axis]) + 0.5)
        for axis in range(3)
    )
    if deformation is None:
        points = torch.stack(torch.meshgrid(z, y, x, indexing="ij"), dim=-1)
    else:
        points = deformation.source_grid((z, y, x))
    labels = nearest_labels(torch.from_numpy(head.indices), head.spacing_mm, points)
    return labels, (per_voxel[1], per_voxel[2])


def _shares(labels: Tensor, n_tissues: int, per_voxel: tuple[int, int]) -> Tensor:
    """Share of each label in blocks of all planes and per_voxel points along (y, x), `(label, y, x)`."""
    n_planes, height, width = labels.shape
    rows, columns = height // per_voxel[0], width // per_voxel[1]
    row = torch.arange(height) // per_voxel[0]
    column = torch.arange(width) // per_voxel[1]
    voxel = row[:, None] * columns + column
    flat = labels.to(torch.int64) * (rows * columns) + voxel
    counts = torch.bincount(flat.flatten(), minlength=n_tissues * rows * columns)
    return counts.reshape(n_tissues, rows, columns).float() / (n_planes * per_voxel[0] * per_voxel[1])
