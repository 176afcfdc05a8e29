"""Where in a head lesions may begin; found once for all lesions of the head."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kseg.transforms.bounding_box import bounding_box
from kseg.transforms.brain_regions import REGIONS, Regions
from kseg.transforms.head import CrispHead
from kseg.transforms.signed_distance import signed_distance

Array = npt.NDArray[np.float32]

FROM_GREY_MM = 2.0
"""Distance of deep lesions from grey matter, millimetres."""

_FROM_VENTRICLE_MM = 3.0
# Hyper-intensities of white matter that touch no ventricle, per volume of white matter: as exp(-distance / 15 mm).
_DECAY_MM = 15.0
_MARGIN = 4


@dataclass(frozen=True, eq=False)
class Sites:
    """Voxels in which lesions of one place may begin.

    Attributes:
        positions: indices of the voxels, `(site, 3)` along (z, y, x).
        directions: unit vectors along (z, y, x) away from the wall, or from the ventricle, `(site, 3)`; 0 where there
            is none.
        cumulative: share of the sites up to and with each one, ascending to 1, `(site,)`.
    """

    positions: npt.NDArray[np.int16]
    directions: npt.NDArray[np.float16]
    cumulative: Array


def lesion_sites(head: CrispHead, regions: Regions) -> dict[str, Sites]:
    """Find the sites of a head.

    Periventricular sites are voxels of white matter that touch a lateral ventricle, juxtacortical ones those that
    touch the cortex; infratentorial and deep ones lie 2 mm and more from grey matter, deep ones also 3 mm and more
    from the ventricles, and the fewer the further.

    Args:
        head: a head with the tissues gm and wm.
        regions: its regions, see `kseg.transforms.brain_regions`.

    Returns:
        Sites of each place of `kseg.transforms.lesion_model.PLACES` that the head has.

    Raises:
        ValueError: regions of another shape, or without white matter.
    """
    if regions.shape != head.indices.shape:
        raise ValueError(
            f"lesion sites: expected regions (z, y, x) = {head.indices.shape}, received {regions.shape}"
        )
    any_white = np.isin(regions, [REGIONS.index("white"), REGIONS.index("infratentorial")])
    if not any_white.any():
        raise ValueError("lesion sites: expected white matter among the regions, received none")
    box = bounding_box(any_white, _MARGIN)
    inside, spacing_mm = regions[box], head.spacing_mm
    ventricle, cortex, white, below = (inside == REGIONS.index(name) for name in REGIONS[1:])
    to_ventricle = signed_distance(ventricle, spacing_mm)
    to_cortex = signed_distance(cortex, spacing_mm)
    from_grey = signed_distance(head.indices[box] == head.tissues.index("gm"), spacing_mm) > FROM_GREY_MM
    touching = min(spacing_mm)
    away = to_ventricle > _FROM_VENTRICLE_MM
    candidates = {
        "periventricular": (white & (to_ventricle <= touching), to_ventricle),
        "juxtacortical": (white & away & (to_cortex <= touching), to_cortex),
        "infratentorial": (below & from_grey, None),
        "deep": (white & away & from_grey, to_ventricle),
    }
    start = [extent.start for extent in box]
    sites = {}
    for place, (mask, distance) in candidates.items():
        voxels = np.argwhere(mask)
        if len(voxels):
            weights = np.ones(len(voxels))
            if place == "deep" and ventricle.any():
                weights = np.exp(-to_ventricle[mask].astype(np.float64) / _DECAY_MM)
            sites[place] = Sites(
                (voxels + start).astype(np.int16),
                _directions(distance, voxels, spacing_mm),
                (np.cumsum(weights) / weights.sum()).astype(np.float32),
            )
    return sites


def _directions(
    distance: Array | None, voxels: npt.NDArray[np.intp], spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.float16]:
    """Direction in which a distance grows fastest at some voxels, `(voxel, 3)`."""
    gradient = np.zeros(voxels.shape, dtype=np.float32)
    if distance is not None and np.isfinite(distance).all():
        for axis in range(3):
            ends = []
            for step in (-2, 2):
                moved = voxels.copy()
                moved[:, axis] = np.clip(moved[:, axis] + step, 0, distance.shape[axis] - 1)
                ends.append(distance[tuple(moved.T)])
            gradient[:, axis] = (ends[1] - ends[0]) / spacing_mm[axis]
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    directions: npt.NDArray[np.float16] = (gradient / np.where(length > 0, length, 1)).astype(np.float16)
    return directions


Places = Mapping[str, Sites]
"""Sites of a head by their place, see `lesion_sites`."""
