"""Lesions of white matter as in multiple sclerosis."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import label

from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_model import PLACES, LesionKind, LesionModel
from kseg.transforms.lesion_sites import FROM_GREY_MM, Places, Sites
from kseg.transforms.random_field import random_field
from kseg.transforms.signed_distance import signed_distance

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, ...]

_GRAIN_MM, _ROUGHNESS = 3.0, 0.25
# How far from its site, relative to its reach in that direction, the centre of a lesion lies.
_DEEPEST_CENTRE = 0.6
_AT_WALL = ("periventricular", "juxtacortical")


def add_lesions(
    head: CrispHead, places: Places, generator: torch.Generator, model: LesionModel | None = None
) -> CrispHead:
    """Turn white matter into lesions: irregular ellipsoids that start at a site and stay in its white matter.

    Lesions that the head has stay lesions, and others may join them. At least one is drawn, unless the model has
    none at all in the places of the head.

    Args:
        head: a head with the tissues gm and wm.
        places: its sites, see `lesion_sites`.
        generator: source of randomness.
        model: number, size, shape and confluence of the lesions.

    Returns:
        The head with the tissue `lesion`, appended to its tissues if it has none; the head itself if the model
        has no lesions for it.
    """
    model = model or LesionModel()
    kinds = {place: model.kind(place) for place in PLACES if place in places}
    if not any(kind.number for kind in kinds.values()):
        return head
    tissues = head.tissues if "lesion" in head.tissues else (*head.tissues, "lesion")
    painted = replace(head, indices=head.indices.copy(), tissues=tissues)
    load = math.exp(model.load_spread * (torch.randn(1, generator=generator).item() - model.load_spread / 2))
    means = torch.tensor([load * kind.number for kind in kinds.values()])
    numbers = torch.poisson(means, generator=generator).int().tolist()
    if not any(numbers):
        numbers[int(means.argmax())] = 1
    for (place, kind), number in zip(kinds.items(), numbers, strict=True):
        earlier: list[tuple[int, float]] = []
        for _ in range(number):
            diameter = _diameter(kind, model, generator)
            site = _choose(places[place], earlier, head.spacing_mm, model.confluence, generator)
            earlier.append((site, diameter))
            _paint(painted, place, places[place], site, (diameter, kind), generator)
    return painted


def heal_lesions(head: CrispHead) -> CrispHead:
    """Turn the lesions that a head has into white matter.

    Args:
        head: a head with the tissue wm.

    Returns:
        The head itself if it has no tissue `lesion`.
    """
    if "lesion" not in head.tissues:
        return head
    healed = head.indices.copy()
    healed[healed == head.tissues.index("lesion")] = head.tissues.index("wm")
    return replace(head, indices=healed)


def _diameter(kind: LesionKind, model: LesionModel, generator: torch.Generator) -> float:
    drawn = kind.diameter_mm * math.exp(kind.spread * torch.randn(1, generator=generator).item())
    return min(max(drawn, model.limits_mm[0]), model.limits_mm[1])


def _choose(
    sites: Sites,
    earlier: list[tuple[int, float]],
    spacing_mm: tuple[float, float, float],
    confluence: float,
    generator: torch.Generator,
) -> int:
    """Index of a site, sometimes half a diameter to a diameter beside an earlier one."""
    beside, which, drawn = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    if earlier and beside < confluence:
        site, diameter = earlier[int(which * len(earlier))]
        offsets = (sites.positions - sites.positions[site]) * np.array(spacing_mm, dtype=np.float32)
        distance = np.linalg.norm(offsets, axis=1)
        near = np.flatnonzero((distance > diameter / 2) & (distance < diameter))
        if len(near):
            return int(near[int(drawn * len(near))])
    last = len(sites.cumulative) - 1
    return min(int(np.searchsorted(sites.cumulative, drawn, side="right")), last)


def _paint(
    head: CrispHead,
    place: str,
    sites: Sites,
    site: int,
    size: tuple[float, LesionKind],
    generator: torch.Generator,
) -> None:
    """Paint one lesion into a head."""
    (diameter, kind), position = size, sites.positions[site].astype(int)
    shares = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    stretch = kind.stretch[0] + shares[0] * (kind.stretch[1] - kind.stretch[0])
    along = diameter / 2 * stretch ** (2 / 3)
    across = diameter / 2 * stretch ** (-1 / 3)
    direction = sites.directions[site].astype(np.float64)
    if not direction.any():
        direction = _unit_vector(shares[2], shares[3])
    offset = _DEEPEST_CENTRE * shares[1] * along if place in _AT_WALL else 0.0
    centre_mm = position * head.spacing_mm + offset * direction
    box, blob = _ellipsoid(centre_mm, direction, (along, across), head, generator)
    within = tuple(int(index - extent.start) for index, extent in zip(position, box, strict=True))
    white = _white(head, box)
    if not white[within]:
        return
    blob &= white
    if place == "deep":
        blob &= _away_from_grey(head, box)
    blob[within] = True
    # Beyond a sulcus or a ventricle there is other white matter.
    pieces, _ = label(blob)
    head.indices[box][pieces == pieces[within]] = head.tissues.index("lesion")


def _white(head: CrispHead, box: Box) -> Mask:
    part = head.indices[box]
    white: Mask = (part == head.tissues.index("wm")) | (part == head.tissues.index("lesion"))
    return white


def _away_from_grey(head: CrispHead, box: Box) -> Mask:
    """Where deep lesions may be in a box; grey matter outside of it counts as well."""
    wide, inner = [], []
    for extent, count, spacing in zip(box, head.indices.shape, head.spacing_mm, strict=True):
        margin = math.ceil(FROM_GREY_MM / spacing) + 1
        start = max(0, extent.start - margin)
        wide.append(slice(start, min(count, extent.stop + margin)))
        inner.append(slice(extent.start - start, extent.stop - start))
    grey = head.indices[tuple(wide)] == head.tissues.index("gm")
    away: Mask = (signed_distance(grey, head.spacing_mm) > FROM_GREY_MM)[tuple(inner)]
    return away


def _unit_vector(first: float, second: float) -> npt.NDArray[np.float64]:
    z, turn = 2 * first - 1, 2 * math.pi * second
    across = math.sqrt(1 - z**2)
    return np.array([z, across * math.sin(turn), across * math.cos(turn)])


def _ellipsoid(
    centre_mm: npt.NDArray[np.float64],
    direction: npt.NDArray[np.float64],
    radii: tuple[float, float],
    head: CrispHead,
    generator: torch.Generator,
) -> tuple[Box, Mask]:
    """An irregular ellipsoid with its radii along a direction and across it: a box of the volume, a mask in it."""
    # Its roughness widens an ellipsoid by up to a half.
    reach = 1.5 * max(radii)
    box, offsets, axes = [], [], []
    for axis, spacing in enumerate(head.spacing_mm):
        start = max(0, math.floor((centre_mm[axis] - reach) / spacing))
        stop = min(head.indices.shape[axis], math.ceil((centre_mm[axis] + reach) / spacing) + 1)
        offset = torch.arange(start, stop, dtype=torch.float32) * spacing - float(centre_mm[axis])
        box.append(slice(start, stop))
        offsets.append(offset)
        axes.append(offset - offset[0])
    z, y, x = offsets[0][:, None, None], offsets[1][:, None], offsets[2]
    lengthwise = z * float(direction[0]) + y * float(direction[1]) + x * float(direction[2])
    sideways = (z**2 + y**2 + x**2 - lengthwise**2).clamp(min=0)
    radius = ((lengthwise / radii[0]) ** 2 + sideways / radii[1] ** 2).sqrt()
    rough = _ROUGHNESS * random_field(1, (axes[0], axes[1], axes[2]), _GRAIN_MM, generator)[0]
    return tuple(box), (radius < 1 + rough.clamp(-0.5, 0.5)).numpy()
