"""Heads at the resolution of their source, in canonical orientation: x to the right, y anterior, z superior."""

from dataclasses import dataclass
from typing import Protocol

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

    def membership(self, tissue: str) -> npt.NDArray[np.float32]:
        """Share of a tissue in each voxel, `(z, y, x)`: 0 or 1."""
        return (self.indices == self.tissues.index(tissue)).astype(np.float32)


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
        return self.memberships[self.tissues.index(tissue)]


def head_from_labels(volume: NiftiVolume, codes: LabelCodes) -> CrispHead:
    """Translate a label map to tissues and turn it to canonical orientation.

    Args:
        volume: label map in any orientation.
        codes: what its values mean.

    Raises:
        ValueError: codes that the table does not know.
    """
    image = nibabel.Nifti1Image(codes.tissue_indices(volume.array), volume.affine)
    canonical = nibabel.as_closest_canonical(image)
    indices = np.ascontiguousarray(np.asanyarray(canonical.dataobj).transpose(2, 1, 0))
    x, y, z = (float(size) for size in nibabel.affines.voxel_sizes(canonical.affine))
    return CrispHead(indices, codes.tissues, (z, y, x), canonical.affine)
