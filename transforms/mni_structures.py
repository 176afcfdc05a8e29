"""Where structures of the brain lie in the embedded head, roughly."""

import numpy as np
import numpy.typing as npt

from kseg.transforms.head_shell import Coordinates

Mask = npt.NDArray[np.bool_]


def deep_grey(at: Coordinates) -> Mask:
    """Thalamus and basal ganglia."""
    return at.ellipsoid((4, -5, 0), (18, 29, 33))


def stem(at: Coordinates) -> Mask:
    """Brain stem."""
    return at.ellipsoid((-32, -25, 0), (26, 13, 17))


def ventricles(at: Coordinates) -> Mask:
    """The lateral ventricles and what lies around them."""
    return at.ellipsoid((7, -7, 0), (22, 40, 28))


def cerebellum(at: Coordinates) -> Mask:
    """What lies below the tentorium, without the brain stem."""
    tentorium = -15 + 0.4 * (at.y + 82) - 0.3 * np.abs(at.x)
    below: Mask = (at.y < -33) & (at.z < tentorium)
    return below


def hippocampus(at: Coordinates) -> Mask:
    """Hippocampus and amygdala of both sides."""
    return at.ellipsoid((-16, -17, -23), (11, 19, 9)) | at.ellipsoid((-16, -17, 23), (11, 19, 9))
