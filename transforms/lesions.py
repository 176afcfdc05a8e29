"""Lesions of white matter."""

from dataclasses import replace

import numpy as np
import torch

from kseg.transforms.head import CrispHead
from kseg.transforms.random_field import random_field
from kseg.transforms.signed_distance import signed_distance

_FROM_CORTEX_MM = 2.0
_MEDIAN_RADIUS_MM, _RADIUS_LOG_SD = 3.0, 0.45
_LARGEST_RADIUS_MM = 10.0
_GRAIN_MM, _ROUGHNESS = 3.0, 0.25


def add_lesions(head: CrispHead, generator: torch.Generator, mean_number: float) -> CrispHead:
    """Turn white matter away from grey matter into lesions: irregular ellipsoids as in multiple sclerosis.

    Args:
        head: a head with the tissues gm and wm.
        generator: source of randomness.
        mean_number: mean of the Poisson distributed number of lesions; neighbours may join.

    Returns:
        The head with the tissue `lesion`, appended to its tissues if it has none.
    """
    number = int(torch.poisson(torch.tensor(float(mean_number)), generator=generator))
    if number == 0:
        return head
    to_grey = signed_distance(head.indices == head.tissues.index("gm"), head.spacing_mm)
    eligible = (head.indices == head.tissues.index("wm")) & (to_grey > _FROM_CORTEX_MM)
    places = np.flatnonzero(eligible)
    if len(places) == 0:
        return head
    tissues = head.tissues if "lesion" in head.tissues else (*head.tissues, "lesion")
    indices = head.indices.copy()
    for choice in torch.randint(len(places), (number,), generator=generator).tolist():
        centre = np.unravel_index(places[choice], indices.shape)
        box, blob = _blob(centre, indices.shape, head.spacing_mm, generator)
        indices[box][blob & eligible[box]] = tissues.index("lesion")
    return replace(head, indices=indices, tissues=tissues)


def _blob(
    centre: tuple[np.intp, ...],
    shape: tuple[int, ...],
    spacing_mm: tuple[float, float, float],
    generator: torch.Generator,
) -> tuple[tuple[slice, ...], np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Voxels of one lesion, as a box of the volume and a mask in it."""
    size = _MEDIAN_RADIUS_MM * np.exp(_RADIUS_LOG_SD * torch.randn(1, generator=generator).item())
    stretch = 2 ** (torch.rand(3, generator=generator) - 0.5)
    radii = (size * stretch).clamp(max=_LARGEST_RADIUS_MM).tolist()
    box, squares, axes = [], [], []
    for axis in range(3):
        # The roughness widens an ellipsoid by up to a half.
        reach = int(np.ceil(1.5 * radii[axis] / spacing_mm[axis]))
        start, stop = max(0, int(centre[axis]) - reach), min(shape[axis], int(centre[axis]) + reach + 1)
        offset = (torch.arange(start, stop) - int(centre[axis])) * spacing_mm[axis]
        squares.append((offset / radii[axis]) ** 2)
        axes.append(offset - offset[0])
        box.append(slice(start, stop))
    radius = (squares[0][:, None, None] + squares[1][:, None] + squares[2]).sqrt()
    rough = _ROUGHNESS * random_field(1, (axes[0], axes[1], axes[2]), _GRAIN_MM, generator)[0]
    return tuple(box), (radius < 1 + rough.clamp(-0.5, 0.5)).numpy()
