"""Brains of the same folding but other volumes: the surfaces between tissues move by smooth random amounts."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import binary_opening, label

from kseg.transforms.bounding_box import bounding_box
from kseg.transforms.head import CrispHead
from kseg.transforms.lesions import heal_lesions
from kseg.transforms.random_field import random_field
from kseg.transforms.signed_distance import signed_distance

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Fluid this deep in the head is ventricle or cistern, not sulcus.
_DEEP_MM = 22.0
_SMALLEST_VENTRICLE_MM3 = 400.0
_REGION_MM, _REGIONAL_SHARE = 40.0, 0.5
_GRAIN_VOXELS, _GRAIN_SD_VOXELS = 4.0, 0.3


@dataclass(frozen=True)
class SurfaceStrength:
    """How far surfaces move between subjects, millimetres; 0 leaves a surface where it is.

    Attributes:
        pial_mm: surface between grey matter and fluid, standard deviation over subjects; inwards is atrophy.
        white_mm: surface between white and grey matter, standard deviation over subjects.
        ventricle_mm: walls of the ventricles, which widen with atrophy. Widening is skewed as it is between
            people: 0.8 of this at one standard deviation above the median, minus half of it at one below.
    """

    pial_mm: float = 0.3
    white_mm: float = 0.1
    ventricle_mm: float = 1.5


def move_surfaces(head: CrispHead, generator: torch.Generator, strength: SurfaceStrength) -> CrispHead:
    """Move the surfaces between fluid, grey and white matter; skull and scalp stay.

    Every surface moves by a mean of the subject, by half as much that varies over regions of 4 cm, and by a
    grain that turns shifts of less than a voxel into as many shifted voxels. Lesions are white matter to them, and
    remain where it remains.

    Args:
        head: a head with the tissues csf, gm and wm.
        generator: source of randomness.
        strength: how far.
    """
    csf, gm, wm = (head.tissues.index(tissue) for tissue in ("csf", "gm", "wm"))
    box = bounding_box(np.isin(head.indices, (csf, gm, wm)), margin=3)
    indices = heal_lesions(head).indices.copy()
    brain = indices[box]
    pial, white, ventricle = _draw_shifts(brain.shape, head.spacing_mm, generator, strength)
    deep = signed_distance(np.isin(brain, (csf, gm, wm)), head.spacing_mm) < -_DEEP_MM
    if strength.ventricle_mm:
        _move_ventricles(brain, (csf, gm, wm), head.spacing_mm, ventricle, deep)
    if strength.pial_mm:
        to_brain = signed_distance(np.isin(brain, (gm, wm)), head.spacing_mm)
        brain[(brain == gm) & ~deep & (to_brain > -pial)] = csf
        brain[(brain == csf) & ~deep & (to_brain < -pial)] = gm
    if strength.white_mm:
        to_white = signed_distance(brain == wm, head.spacing_mm)
        to_brain = signed_distance(np.isin(brain, (gm, wm)), head.spacing_mm)
        brain[(brain == wm) & (to_white > -white)] = gm
        # A layer of cortex stays.
        covered = to_brain < -max(head.spacing_mm)
        brain[(brain == gm) & covered & (to_white < -white)] = wm
    if "lesion" in head.tissues:
        lesion = head.tissues.index("lesion")
        indices[(head.indices == lesion) & (indices == wm)] = lesion
    return replace(head, indices=indices)


def _draw_shifts(
    shape: tuple[int, ...],
    spacing_mm: tuple[float, float, float],
    generator: torch.Generator,
    strength: SurfaceStrength,
) -> tuple[Array, Array, Array]:
    """Inward shift of the pial and white surface and outward shift of the ventricles, millimetres, `(z, y, x)`."""
    z, y, x = (size * torch.arange(n, dtype=torch.float32) for size, n in zip(spacing_mm, shape, strict=True))
    atrophy, thinning, own = torch.randn(3, generator=generator).tolist()
    regional = _REGIONAL_SHARE * random_field(3, (z, y, x), _REGION_MM, generator)
    voxel = min(spacing_mm)
    grain = _GRAIN_SD_VOXELS * voxel * random_field(3, (z, y, x), _GRAIN_VOXELS * voxel, generator)
    pial = strength.pial_mm * (atrophy + regional[0]) + grain[0]
    white = strength.white_mm * (thinning + regional[1]) + grain[1]
    widening = torch.expm1(0.6 * (0.6 * atrophy + 0.8 * own + regional[2]))
    return pial.numpy(), white.numpy(), (strength.ventricle_mm * widening + grain[2]).numpy()


def _move_ventricles(
    brain: npt.NDArray[np.uint8],
    tissues: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    shift: Array,
    deep: Mask,
) -> None:
    csf, gm, wm = tissues
    pieces, _ = label(binary_opening((brain == csf) & deep))
    large = np.bincount(pieces.ravel()) * np.prod(spacing_mm) > _SMALLEST_VENTRICLE_MM3
    large[0] = False
    to_ventricle = signed_distance(large[pieces], spacing_mm)
    lost = (to_ventricle < 0) & (to_ventricle > shift)
    # What a ventricle gives up becomes what lies nearest to it.
    nearer_white = signed_distance(brain == wm, spacing_mm) <= signed_distance(brain == gm, spacing_mm)
    brain[np.isin(brain, (gm, wm)) & (to_ventricle < shift)] = csf
    brain[lost & nearer_white] = wm
    brain[lost & ~nearer_white] = gm
