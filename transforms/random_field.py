"""Smooth random fields."""

import math

import torch
from torch import Tensor

# Mean over all positions of the sum of squared cubic B-spline weights, one axis.
_SPLINE_POWER = 151 / 315


def random_field(
    n_fields: int,
    axes_mm: tuple[Tensor, Tensor, Tensor],
    control_spacing_mm: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw independent smooth fields of mean 0 and standard deviation 1: random cubic B-splines.

    Args:
        n_fields: how many.
        axes_mm: coordinates along z, y and x where to evaluate them, 0 or more, millimetres, each `(n,)`.
        control_spacing_mm: distance of the control points, millimetres; fields vary over this length.
        generator: source of randomness.

    Returns:
        The fields on the grid that the coordinates span, `(field, z, y, x)`.

    Example:
        >>> axis = torch.arange(200.0)
        >>> field = random_field(1, (axis, axis, axis[:1]), 5.0, torch.Generator().manual_seed(0))
        >>> round(float(field.std()), 1)
        1.0
    """
    z, y, x = (_spline_weights(axis, control_spacing_mm) for axis in axes_mm)
    coefficients = torch.randn(n_fields, z.shape[1], y.shape[1], x.shape[1], generator=generator)
    field: Tensor = torch.einsum("cijk,zi->czjk", coefficients, z)
    return y @ field @ x.T / math.sqrt(_SPLINE_POWER**3)


def _spline_weights(positions_mm: Tensor, control_spacing_mm: float) -> Tensor:
    """Cubic B-spline weights of control points at positions along one axis, `(position, control point)`."""
    positions = positions_mm / control_spacing_mm
    n_control = math.floor(float(positions.max())) + 4
    distance = (positions[:, None] - (torch.arange(n_control) - 1)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
