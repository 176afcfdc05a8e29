"""Smooth variation of brightness, as uneven receive and transmit fields leave it in images."""

import torch
from torch import Tensor

from kseg.transforms.random_field import random_field

_CONTROL_SPACING_MM = 80.0


def bias_field(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    strength: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw a field that multiplies an image: the exponential of a smooth random field.

    Args:
        shape: voxels along (slice, y, x).
        spacing_mm: voxel size along (slice, y, x), millimetres.
        strength: standard deviation of its natural logarithm over many fields, before the mean is made 1; 0 or more.
        generator: source of randomness.

    Returns:
        Field of mean 1, positive, `(slice, y, x)`, float32.

    Raises:
        ValueError: a negative strength.

    Example:
        >>> field = bias_field((20, 80, 80), (3.0, 1.0, 1.0), 0.1, torch.Generator().manual_seed(0))
        >>> round(field.mean().item(), 4), bool((field > 0.6).all() and (field < 1.5).all())
        (1.0, True)
    """
    if not strength >= 0:
        raise ValueError(f"bias field: expected a strength of 0 or more, received {strength}")
    z, y, x = (size * torch.arange(n, dtype=torch.float32) for n, size in zip(shape, spacing_mm, strict=True))
    field = torch.exp(strength * random_field(1, (z, y, x), _CONTROL_SPACING_MM, generator)[0])
    return field / field.mean()
