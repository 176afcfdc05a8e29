"""Many different subjects from one head."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from kseg.transforms.deformation import DeformationStrength, random_deformation, warp_head
from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_model import LesionModel
from kseg.transforms.lesion_sites import Places
from kseg.transforms.lesions import add_lesions
from kseg.transforms.surfaces import SurfaceStrength, move_surfaces


@dataclass(frozen=True)
class SubjectStrength:
    """How much subjects differ from the head they are made from.

    Attributes:
        deformation: shape and size of the head.
        surfaces: thickness of cortex, atrophy, width of the ventricles.
        lesions: number, place and size of lesions; none if not given.
    """

    deformation: DeformationStrength = field(default_factory=lambda: DeformationStrength(scaling=0.08))
    surfaces: SurfaceStrength = field(default_factory=SurfaceStrength)
    lesions: LesionModel | None = None


def generate_subject(
    head: CrispHead,
    generator: torch.Generator,
    strength: SubjectStrength | None = None,
    places: Places | None = None,
) -> CrispHead:
    """Make a subject: deform a head, move the surfaces of its brain, add lesions.

    A deformation alone keeps the relative volumes of the tissues nearly as they are; moving the surfaces makes
    them as different as those of people. All subjects of one head belong on the same side of a split into
    training and test data.

    Args:
        head: a head with the tissues csf, gm and wm.
        generator: source of randomness; the same one makes the same subject.
        strength: how much subjects differ.
        places: sites of lesions of the head, see `lesion_sites`; needed where there are to be some.

    Returns:
        The subject, on the grid of the head.

    Raises:
        ValueError: lesions without their sites.
    """
    strength = strength or SubjectStrength()
    if strength.lesions is not None and places is None:
        raise ValueError("subject: expected the places of lesions, received none")
    inside = np.nonzero(head.indices == head.tissues.index("wm"))
    centre = tuple(
        (float(index.mean()) + 0.5) * size for index, size in zip(inside, head.spacing_mm, strict=True)
    )
    deformation = random_deformation(
        head.extent_mm,
        generator,
        strength.deformation,
        centre_mm=(centre[0], centre[1], centre[2]),
    )
    subject = warp_head(head, deformation)
    subject = move_surfaces(subject, generator, strength.surfaces)
    if strength.lesions is None or places is None:
        return subject
    with_lesions = add_lesions(head, places, generator, strength.lesions)
    if "lesion" not in with_lesions.tissues:
        return subject
    # They move with the head, and stay in its white matter where a surface has moved over them.
    moved = warp_head(with_lesions, deformation).membership("lesion") > 0
    indices, tissues = subject.indices.copy(), with_lesions.tissues
    indices[moved & (indices == tissues.index("wm"))] = tissues.index("lesion")
    return replace(subject, indices=indices, tissues=tissues)
