"""Many different subjects from one head."""

from dataclasses import dataclass, field

import numpy as np
import torch

from kseg.transforms.deformation import DeformationStrength, random_deformation, warp_head
from kseg.transforms.head import CrispHead
from kseg.transforms.lesions import add_lesions
from kseg.transforms.surfaces import SurfaceStrength, move_surfaces


@dataclass(frozen=True)
class SubjectStrength:
    """How much subjects differ from the head they are made from.

    Attributes:
        deformation: shape and size of the head.
        surfaces: thickness of cortex, atrophy, width of the ventricles.
        lesions: mean number of white-matter lesions.
    """

    deformation: DeformationStrength = field(default_factory=lambda: DeformationStrength(scaling=0.08))
    surfaces: SurfaceStrength = field(default_factory=SurfaceStrength)
    lesions: float = 0.0


def generate_subject(
    head: CrispHead, generator: torch.Generator, strength: SubjectStrength | None = None
) -> CrispHead:
    """Make a subject: deform a head, move the surfaces of its brain, add lesions.

    A deformation alone keeps the relative volumes of the tissues nearly as they are; moving the surfaces makes
    them as different as those of people. All subjects of one head belong on the same side of a split into
    training and test data.

    Args:
        head: a head with the tissues csf, gm and wm.
        generator: source of randomness; the same one makes the same subject.
        strength: how much subjects differ.

    Returns:
        The subject, on the grid of the head.
    """
    strength = strength or SubjectStrength()
    extent = tuple(n * size for n, size in zip(head.indices.shape, head.spacing_mm, strict=True))
    inside = np.nonzero(head.indices == head.tissues.index("wm"))
    centre = tuple(
        (float(index.mean()) + 0.5) * size for index, size in zip(inside, head.spacing_mm, strict=True)
    )
    deformation = random_deformation(
        (extent[0], extent[1], extent[2]),
        generator,
        strength.deformation,
        centre_mm=(centre[0], centre[1], centre[2]),
    )
    subject = warp_head(head, deformation)
    subject = move_surfaces(subject, generator, strength.surfaces)
    return add_lesions(subject, generator, strength.lesions)
