"""Digital heads on the acquisition grid: tissue fractions with oracle labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg.transforms.grid import AcquisitionGrid, PlacedGrid, overlap_matrix, place_grid
from kseg.transforms.head import Head

BRAIN_CLASSES = {"csf": 1, "gm": 2, "wm": 3, "lesion": 3}
"""Class of each tissue of the brain task; every other tissue is background, 0."""

ORACLES = ("majority", "centre_slice")
"""How the oracle label of a thick voxel is made: majority of its fractions, or of those in its middle plane."""

N_BRAIN_CLASSES = 4


@dataclass(frozen=True)
class Phantom:
    """A digital head, ready to be scanned.

    Attributes:
        fractions: share of each tissue in each voxel, `(tissue, slice, y, x)`, float32, summing to 1.
        tissues: tissue names, in the order of the fractions.
        labels: oracle labels `(slice, y, x)`, uint8: 0 background, 1 CSF, 2 GM, 3 WM.
        affine: maps (x, y, slice) indices to RAS millimetres, 4 x 4.
        subject: name of the head.
    """

    fractions: Tensor
    tissues: tuple[str, ...]
    labels: Tensor
    affine: npt.NDArray[np.float64]
    subject: str


def make_phantom(
    head: Head, subject: str, *, grid: AcquisitionGrid | None = None, oracle: str = "majority"
) -> Phantom:
    """Lay the acquisition grid over a head and average its tissues over every acquired voxel.

    The averages are exact volume overlaps, so partial volume is right for any resolution of the head.

    Args:
        head: crisp or fuzzy head of any resolution.
        subject: name of the head.
        grid: acquired voxels; 57 slices of 3 mm with 216 x 180 voxels of 1 mm if not given.
        oracle: how thick voxels get their label, see `ORACLES`.

    Raises:
        ValueError: unknown oracle, no cortex, or a cortex larger than the grid.
    """
    if oracle not in ORACLES:
        raise ValueError(f"oracle: expected one of {', '.join(ORACLES)}, received {oracle!r}")
    cortex = head.membership("gm") > 0.5
    placed = place_grid(grid or AcquisitionGrid(), cortex, head.spacing_mm)
    average = _averaging(placed, cortex.shape, head.spacing_mm)
    fractions = _average(head, average)
    labels_of = fractions
    if oracle == "centre_slice":
        labels_of = _average(
            head, (_centre_planes(placed, cortex.shape[0], head.spacing_mm[0]), *average[1:])
        )
    return Phantom(
        fractions=fractions,
        tissues=head.tissues,
        labels=majority_labels(labels_of, head.tissues),
        affine=placed.affine(head.affine, head.spacing_mm),
        subject=subject,
    )


def _averaging(
    placed: PlacedGrid, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    grid = placed.grid
    z, y, x = (
        torch.from_numpy(
            overlap_matrix(grid.shape[i], grid.spacing_mm[i], placed.origin_mm[i], shape[i], spacing_mm[i])
        ).float()
        for i in range(3)
    )
    return z, y, x


def _centre_planes(placed: PlacedGrid, n_planes: int, spacing_mm: float) -> Tensor:
    grid = placed.grid
    centres = placed.origin_mm[0] + grid.spacing_mm[0] * (np.arange(grid.shape[0]) + 0.5)
    nearest = np.floor(centres / spacing_mm).astype(int)
    return torch.from_numpy((nearest[:, None] == np.arange(n_planes)).astype(np.float32))


def _average(head: Head, average: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    z, y, x = average
    fractions = torch.empty(len(head.tissues), len(z), len(y), len(x))
    # Voxels outside the grid have no share in any row; leaving them out first saves most of the work.
    used = [torch.nonzero(matrix.any(0)).flatten() for matrix in average]
    ranges = [slice(int(index[0]), int(index[-1]) + 1) for index in used]
    z, y, x = (matrix[:, used_range] for matrix, used_range in zip(average, ranges, strict=True))
    slabs = [_slab(row) for row in z]
    for index, tissue in enumerate(head.tissues[1:], start=1):
        inside = torch.from_numpy(head.membership(tissue)[ranges[0], ranges[1], ranges[2]])
        slices = [
            torch.tensordot(row[slab], inside[slab], dims=1) for row, slab in zip(z, slabs, strict=True)
        ]
        fractions[index] = y @ torch.stack(slices) @ x.T
    fractions[0] = (1 - fractions[1:].sum(0)).clamp(min=0)
    return fractions / fractions.sum(0)


def _slab(shares: Tensor) -> slice:
    """The few source planes that have a share in an acquired slice."""
    planes = torch.nonzero(shares).flatten()
    return slice(int(planes[0]), int(planes[-1]) + 1) if len(planes) else slice(0, 0)


def class_fractions(fractions: Tensor, tissues: tuple[str, ...]) -> Tensor:
    """Add up tissue fractions by class.

    Args:
        fractions: shape `(tissue, ...)`.
        tissues: tissue names.

    Returns:
        Class fractions `(4, ...)`: background, CSF, GM, WM.

    Example:
        >>> class_fractions(torch.tensor([0.1, 0.2, 0.3, 0.4]), ("air", "wm", "skin", "lesion"))
        tensor([0.4000, 0.0000, 0.0000, 0.6000])
    """
    classes = torch.tensor([BRAIN_CLASSES.get(tissue, 0) for tissue in tissues])
    return fractions.new_zeros(N_BRAIN_CLASSES, *fractions.shape[1:]).index_add_(0, classes, fractions)


def majority_labels(fractions: Tensor, tissues: tuple[str, ...]) -> Tensor:
    """Label of the class with the largest share; the lower label where two are equal.

    Args:
        fractions: shape `(tissue, ...)`.
        tissues: tissue names.

    Returns:
        Labels, uint8.
    """
    return class_fractions(fractions, tissues).argmax(0).to(torch.uint8)
