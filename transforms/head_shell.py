"""A modelled head around a brain: subarachnoid space, skull, scalp, face and neck."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kseg.transforms.random_field import random_field
from kseg.transforms.signed_distance import signed_distance

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

TISSUES = (
    "air", "csf", "gm", "wm", "soft_tissue", "skin", "bone", "marrow", "mucosa", "eye", "connective",
)  # fmt: skip
"""Tissues of a wrapped brain, in the order of its indices; 1 to 3 are the brain's own."""

_ISOTROPIC = (1.0, 1.0, 1.0)
_SKIN_MM = 2.3
_CANAL_MM, _CORD_MM = 8.0, 5.0


@dataclass(frozen=True)
class Coordinates:
    """RAS millimetres of the voxels of a 1 mm volume, origin at the anterior commissure.

    Attributes:
        z: inferior to superior, `(z, 1, 1)`.
        y: posterior to anterior, `(y, 1)`.
        x: left to right, `(x,)`.
    """

    z: Array
    y: Array
    x: Array

    def crop(self, box: tuple[slice, ...]) -> "Coordinates":
        """Coordinates of a part of the volume, given as slices along (z, y, x)."""
        return Coordinates(self.z[box[0]], self.y[box[1]], self.x[box[2]])

    def ellipsoid(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Mask:
        """Voxels within an ellipsoid; centre and radii along (z, y, x), millimetres."""
        offsets = (self.z - centre[0], self.y - centre[1], self.x - centre[2])
        squares = [(offset / radius) ** 2 for offset, radius in zip(offsets, radii, strict=True)]
        inside: Mask = squares[0] + squares[1] + squares[2] < 1
        return inside


def coordinates(shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> Coordinates:
    """Coordinates of the voxels of a volume in canonical orientation.

    Args:
        shape: voxels along (z, y, x).
        affine: maps (x, y, z) indices to RAS millimetres at 1 mm, without rotation.
    """
    z, y, x = (
        np.arange(size, dtype=np.float32) + np.float32(start)
        for size, start in zip(shape, affine[2::-1, 3], strict=True)
    )
    return Coordinates(z[:, None, None], y[:, None], x)


def wrap_brain(
    brain: npt.NDArray[np.uint8], at: Coordinates, generator: torch.Generator
) -> npt.NDArray[np.uint8]:
    """Put a brain into a head.

    Fluid 1 to 4 mm thick covers the brain and fills what is narrow between its parts; a skull of 4 to 8 mm
    with marrow where it is thick, and a scalp follow. Thicknesses vary smoothly. Face, neck, airways and eyes
    are ellipsoids, there to fill the field of view with the right kinds of signal.

    Args:
        brain: 0 outside, 1 CSF, 2 GM, 3 WM, `(z, y, x)` at 1 mm.
        at: where the voxels are.
        generator: source of the variation of thickness.

    Returns:
        Index into `TISSUES` for every voxel, `(z, y, x)`.
    """
    axes = tuple(torch.arange(n, dtype=torch.float32) for n in brain.shape)
    fluid, bone, scalp = random_field(3, (axes[0], axes[1], axes[2]), 30.0, generator).clamp(-2, 2).numpy()
    canal, cord = _spinal_canal(brain > 0)
    closed = signed_distance(signed_distance(brain > 0, _ISOTROPIC) <= 5, _ISOTROPIC) <= -5
    intracranial = (signed_distance(closed | (brain > 0), _ISOTROPIC) <= 2.0 + 0.5 * fluid) | canal
    to_inner_table = signed_distance(intracranial, _ISOTROPIC)
    bone_mm = 6.0 + 0.8 * bone
    body = (to_inner_table <= bone_mm + 6.5 + scalp) | _face_and_neck(at)
    depth = -signed_distance(body, _ISOTROPIC)

    index = np.zeros(brain.shape, dtype=np.uint8)
    index[body] = TISSUES.index("soft_tissue")
    index[body & (depth < _SKIN_MM)] = TISSUES.index("skin")
    _carve_face(index, at)
    index[to_inner_table <= bone_mm] = TISSUES.index("bone")
    diploe = np.abs(to_inner_table / bone_mm - 0.5) < 0.15
    index[diploe & (bone_mm > 6.3)] = TISSUES.index("marrow")
    index[intracranial] = TISSUES.index("csf")
    index[cord] = TISSUES.index("connective")
    return np.where(brain > 0, brain, index)


def _spinal_canal(brain: Mask) -> tuple[Mask, Mask]:
    """Canal and cord, straight down from the lowest voxels of the brain."""
    lowest = int(np.flatnonzero(brain.any((1, 2)))[0])
    centre_y, centre_x = (float(indices.mean()) for indices in np.nonzero(brain[lowest]))
    rows, columns = np.ogrid[: brain.shape[1], : brain.shape[2]]
    radius = np.hypot(rows - centre_y, columns - centre_x)
    below = np.arange(brain.shape[0])[:, None, None] < lowest
    return below & (radius < _CANAL_MM), below & (radius < _CORD_MM)


def _face_and_neck(at: Coordinates) -> Mask:
    face = at.ellipsoid((-50, 38, 0), (72, 42, 60))
    neck = at.ellipsoid((-80, -25, 0), (60, 62, 60))
    return face | neck


def _carve_face(index: npt.NDArray[np.uint8], at: Coordinates) -> None:
    """Airways lined with mucosa, and the eyes; what reaches into the skull is overwritten by it."""
    for centre, radii in (
        ((-38, 50, 0), (22, 24, 14)),
        ((-46, 46, -26), (14, 14, 12)),
        ((-46, 46, 26), (14, 14, 12)),
        ((-24, 14, 0), (9, 10, 11)),
        ((-95, 6, 0), (45, 8, 11)),
    ):
        index[at.ellipsoid(centre, radii)] = TISSUES.index("mucosa")
        lining = 4.0 if centre[2] == 0 else 1.5
        lumen = (radii[0] - lining, radii[1] - lining, radii[2] - lining)
        index[at.ellipsoid(centre, lumen)] = TISSUES.index("air")
    for side in (-29, 29):
        index[at.ellipsoid((-33, 53, side), (12, 12, 12))] = TISSUES.index("eye")
