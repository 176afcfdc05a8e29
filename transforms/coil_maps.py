"""Simulated receive sensitivities: smooth, with the phase that makes real k-space non-Hermitian."""

import math

import torch
from torch import Tensor

_RADIUS = 1.5
"""Of the ring of coils, in half fields of view: beyond the corners, where its phase is undefined."""


def coil_maps(n_coils: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Simulate the sensitivities of a ring of receive coils around an axial slice.

    Coil j is a loop outside the field of view: its magnitude falls off with distance like the field on the
    axis of a loop, (1 + d^2)^(-3/2), its phase winds with the direction from the coil. All coils share a
    smooth receive phase, a random quadratic polynomial of about 1 rad over the field of view. A single coil
    is a homogeneous volume coil: magnitude 1 and that phase.

    Args:
        n_coils: number of coils, 1 or more.
        shape: (y, x) of the slice.
        generator: source of randomness, for the phase and the position of the ring.

    Returns:
        Sensitivities `(coil, 1, y, x)`, complex64, with sum_j |s_j|^2 = 1 everywhere.

    Raises:
        ValueError: no coil.

    Example:
        >>> maps = coil_maps(8, (16, 12), torch.Generator().manual_seed(0))
        >>> torch.allclose(maps.abs().square().sum(0), torch.ones(1, 16, 12))
        True
    """
    if n_coils < 1:
        raise ValueError(f"coil maps: expected at least 1 coil, received {n_coils}")
    y = torch.linspace(-1, 1, shape[0])[:, None]
    x = torch.linspace(-1, 1, shape[1])[None]
    shared_phase = _smooth_phase(y, x, generator)
    if n_coils == 1:
        return torch.polar(torch.ones(shape), shared_phase)[None, None]
    angles = 2 * math.pi * (torch.arange(n_coils) + torch.rand(1, generator=generator)) / n_coils
    from_y = y - _RADIUS * torch.sin(angles)[:, None, None]
    from_x = x - _RADIUS * torch.cos(angles)[:, None, None]
    magnitude = (1 + from_y**2 + from_x**2) ** -1.5
    magnitude = magnitude / torch.linalg.vector_norm(magnitude, dim=0)
    phase = torch.atan2(from_y, from_x) + shared_phase
    return torch.polar(magnitude, phase)[:, None]


def _smooth_phase(y: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    constant, *coefficients = torch.randn(6, generator=generator).tolist()
    phase = torch.full((y.numel(), x.numel()), math.pi * constant)
    for coefficient, term in zip(coefficients, (y, x, x * y, x**2, y**2), strict=True):
        phase += 0.5 * coefficient * term
    return phase
