"""Heads at the resolution of their source, in canonical orientation: x right, y anterior, z superior."""

from dataclasses import dataclass
from typing import Any, Protocol

import nibabel
import numpy as np
import numpy.typing as npt

from kseg.transforms.label_codes import LabelCodes
from kseg.transforms.nifti import NiftiVolume


class Head(Protocol):
    """What a phantom is made of.

    Attributes:
        tissues: tissue names, air first.
        spacing_mm: voxel size along (z, y, x), millimetres.
        affine: maps (x, y, z) indices to RAS millimetres, 4 x 4.
    """

    @property
    def tissues(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def spacing_mm(self) -> tuple[float, float, float]: ...  # noqa: D102

    @property
    def affine(self) -> npt.NDArray[np.float64]: ...  # noqa: D102

    def membership(self, tissue: str) -> npt.NDArray[np.float32]:
        """Share of a tissue in each voxel, `(z, y, x)`, 0 to 1."""


@dataclass(frozen=True)
class CrispHead:
    """A head with one tissue per voxel.

    Attributes:
        indices: index into tissues, `(z, y, x)`, uint8.
        tissues: tissue names, air first.
        spacing_mm: voxel size along (z, y, x), millimetres.
        affine: maps (x, y, z) indices to RAS millimetres, 4 x 4.
    """

    indices: npt.NDArray[np.uint8]
    tissues: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    affine: npt.NDArray[np.float64]

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Size of the volume along (z, y, x), millimetres."""
        z, y, x = (n * size for n, size in zip(self.indices.shape, self.spacing_mm, strict=True))
        return z, y, x

    def membership(self, tissue: str) -> npt.NDArray[np.float32]:
        """Share of a tissue in each voxel, `(z, y, x)`: 0 or 1."""
        share: npt.NDArray[np.float32] = (self.indices == self.tissues.index(tissue)).astype(np.float32)
        return share


@dataclass(frozen=True)
class FuzzyHead:
    """A head with a share of each tissue in every voxel.

    Attributes:
        memberships: share of each tissue, `(tissue, z, y, x)`, float32, 0 to 1; air may be left to what
            the others do not fill.
        tissues: tissue names, air first.
        spacing_mm: voxel size along (z, y, x), millimetres.
        affine: maps (x, y, z) indices to RAS millimetres, 4 x 4.
    """

    memberships: npt.NDArray[np.float32]
    tissues: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    affine: npt.NDArray[np.float64]

    def membership(self, tissue: str) -> npt.NDArray[np.float32]:
        """Share of a tissue in each voxel, `(z, y, x)`, 0 to 1."""
        share: npt.NDArray[np.float32] = self.memberships[self.tissues.index(tissue)]
        return share


def head_from_labels(volume: NiftiVolume, codes: LabelCodes) -> CrispHead:
    """Translate a label map to tissues and turn it to canonical orientation.

    Args:
        volume: label map in any orientation.
        codes: what its values mean.

    Raises:
        ValueError: codes that the table does not know.
    """
    indices, spacing_mm, affine = canonical(codes.tissue_indices(volume.array), volume.affine)
    return CrispHead(indices, codes.tissues, spacing_mm, affine)


def canonical(
    array: npt.NDArray[Any], affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[Any], tuple[float, float, float], npt.NDArray[np.float64]]:
    """Turn a volume to canonical orientation by flipping and exchanging axes, without interpolation.

    Args:
        array: voxels in the order of a NIfTI file.
        affine: maps their indices to RAS millimetres, 4 x 4.

    Returns:
        Voxels `(z, y, x)`, their size along (z, y, x) in millimetres, and the affine of (x, y, z) indices.

    Example:
        >>> voxels, spacing_mm, affine = canonical(np.arange(3).reshape(3, 1, 1), np.diag([-2.0, 1, 1, 1]))
        >>> voxels.flatten(), spacing_mm, affine[0]
        (array([2, 1, 0]), (1.0, 1.0, 2.0), array([ 2.,  0.,  0., -4.]))
    """
    orientation = nibabel.io_orientation(affine)
    turned = nibabel.apply_orientation(array, orientation)
    affine = affine @ nibabel.orientations.inv_ornt_aff(orientation, array.shape)
    x, y, z = (float(size) for size in nibabel.affines.voxel_sizes(affine))
    return np.ascontiguousarray(turned.transpose(2, 1, 0)), (z, y, x), affine
