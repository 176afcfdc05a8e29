"""Images on a finer grid than was acquired: the rest of k-space is filled with zeros."""

import math

import torch
from torch import Tensor

_FLAT = 0.7


def acquired_window(shape: tuple[int, int], spacing_mm: tuple[float, float], acquired_mm: float) -> Tensor:
    """Weights of k-space samples where an image is interpolated to smaller voxels than were acquired.

    Along each axis: 1 over seven tenths of the acquired half-width, a raised cosine down to 0 at its end, so that
    edges ring little.

    Args:
        shape: samples along (y, x).
        spacing_mm: voxel size of the image along (y, x), millimetres.
        acquired_mm: size of the acquired voxels; where they are no larger, all of k-space is acquired.

    Returns:
        Weights `(y, x)` of centred k-space, float32, 0 to 1.

    Raises:
        ValueError: a size that is not positive.

    Example:
        >>> acquired_window((1, 8), (1.0, 1.0), 2.0)
        tensor([[0., 0., 0., 1., 1., 1., 0., 0.]])
    """
    if not acquired_mm > 0:
        raise ValueError(f"acquired resolution: expected voxels above 0 mm, received {acquired_mm}")
    along_y, along_x = (_weights(n, size / acquired_mm) for n, size in zip(shape, spacing_mm, strict=True))
    return along_y[:, None] * along_x


def _weights(n_samples: int, share: float) -> Tensor:
    if share >= 1:
        return torch.ones(n_samples)
    # From 0 in the centre to 1 at the end of what is acquired.
    distance = (torch.arange(n_samples) - n_samples // 2).abs() / (share * n_samples / 2)
    taper = 0.5 + 0.5 * torch.cos(math.pi * (distance - _FLAT).clamp(0, 1 - _FLAT) / (1 - _FLAT))
    return torch.where(distance < 1, taper, 0.0)
