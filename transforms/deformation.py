"""Random diffeomorphic deformations of a head, kept as a coarse displacement field and an affine map."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from kseg.transforms.head import CrispHead
from kseg.transforms.random_field import random_field

Extent = tuple[float, float, float]

# A third of the usual distance of control points: linear interpolation errs by about 0.1 mm.
_NODE_SPACING_MM = 10.0
_SQUARINGS = 6


@dataclass(frozen=True)
class DeformationStrength:
    """How strongly a random deformation changes a head.

    Attributes:
        velocity_sd_mm: standard deviation of each component of the velocity field, millimetres per unit time;
            over the unit time that it flows, the displacement is about as large.
        control_spacing_mm: distance of the control points of the velocity field, millimetres; structures much
            smaller than this move as a whole.
        rotation_deg: largest rotation about each axis, degrees.
        scaling: largest relative change of size along each axis.
        shear: largest shear of each pair of axes.
        flip_probability: how often left and right are exchanged, 0 to 1.
    """

    velocity_sd_mm: float = 2.5
    control_spacing_mm: float = 25.0
    rotation_deg: float = 10.0
    scaling: float = 0.1
    shear: float = 0.02
    flip_probability: float = 0.5


@dataclass(frozen=True)
class Deformation:
    """Where each point of a deformed volume comes from: source = matrix (p + displacement(p), 1).

    Points are (z, y, x) in millimetres from the lower corner of the volume: voxel i has its centre at
    (i + 1/2) spacing.

    Attributes:
        displacement_mm: displacement along (z, y, x) at nodes that divide the volume evenly from edge to
            edge, `(3, nz, ny, nx)`, millimetres; linear in between and constant beyond the edges.
        matrix: affine map that follows the displacement, `(3, 4)`, millimetres.
        extent_mm: size of the volume along (z, y, x), millimetres.
    """

    displacement_mm: Tensor
    matrix: Tensor
    extent_mm: Extent

    def source_points(self, points_mm: Tensor) -> Tensor:
        """Find the source of points of the deformed volume.

        Args:
            points_mm: (z, y, x) of each point, millimetres, shape `(..., 3)`.

        Returns:
            (z, y, x) of the sources, millimetres, shape `(..., 3)`.

        Example:
            >>> shift = torch.tensor([[1.0, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0]])
            >>> moved = Deformation(torch.zeros(3, 2, 2, 2), shift, (100.0, 100.0, 100.0))
            >>> moved.source_points(torch.tensor([10.0, 20.0, 30.0]))
            tensor([15., 20., 30.])
        """
        displaced = points_mm + interpolate(self.displacement_mm, self.extent_mm, points_mm)
        return displaced @ self.matrix[:, :3].T + self.matrix[:, 3]

    def source_grid(self, axes_mm: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Find the sources of a grid of points, several times faster than point by point.

        Args:
            axes_mm: coordinates of the grid along z, y and x, millimetres, each `(n,)`.

        Returns:
            (z, y, x) of the sources, millimetres, shape `(z, y, x, 3)`.
        """
        z, y, x = (
            _linear_weights(axis / size, nodes)
            for axis, size, nodes in zip(axes_mm, self.extent_mm, self.displacement_mm.shape[1:], strict=True)
        )
        planes = torch.einsum("cijk,zi->czjk", self.displacement_mm, z)
        displaced = y @ planes @ x.T
        displaced += torch.stack(torch.meshgrid(*axes_mm, indexing="ij"))
        sources = self.matrix[:, :3] @ displaced.flatten(1) + self.matrix[:, 3:]
        return sources.reshape(displaced.shape).movedim(0, -1)


def random_deformation(
    extent_mm: Extent,
    generator: torch.Generator,
    strength: DeformationStrength | None = None,
    *,
    centre_mm: Extent | None = None,
) -> Deformation:
    """Draw a deformation: the flow of a smooth stationary velocity field, then an affine map about a centre.

    The flow is a diffeomorphism: it neither folds nor tears, so the topology of the head is kept.

    Args:
        extent_mm: size of the volume along (z, y, x), millimetres.
        generator: source of randomness.
        strength: how far to go.
        centre_mm: what rotation, scaling, shear and flip leave in place, (z, y, x); the middle of the volume
            if not given.

    Reference:
        Arsigny et al. 2006, A log-Euclidean framework for statistics on diffeomorphisms; ranges after Billot
        et al. 2023, SynthSeg.

    Example:
        >>> still = DeformationStrength(0.0, 25.0, 0.0, 0.0, 0.0, 0.0)
        >>> same = random_deformation((64.0, 64.0, 64.0), torch.Generator().manual_seed(0), still)
        >>> same.source_points(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[1., 2., 3.]])
    """
    strength = strength or DeformationStrength()
    velocity = random_velocity(extent_mm, generator, strength.velocity_sd_mm, strength.control_spacing_mm)
    linear = _random_linear(generator, strength)
    centre = torch.tensor(centre_mm or tuple(size / 2 for size in extent_mm))
    matrix = torch.cat([linear, (centre - linear @ centre)[:, None]], dim=1)
    return Deformation(exponential(velocity, extent_mm), matrix, extent_mm)


def random_velocity(
    extent_mm: Extent, generator: torch.Generator, sd_mm: float, control_spacing_mm: float
) -> Tensor:
    """Draw a smooth vector field.

    Args:
        extent_mm: size of the volume along (z, y, x), millimetres.
        generator: source of randomness.
        sd_mm: standard deviation of each component.
        control_spacing_mm: distance of the control points, millimetres.

    Returns:
        The field along (z, y, x) at nodes about 10 mm apart, `(3, nz, ny, nx)`.
    """
    z, y, x = (torch.linspace(0, size, max(2, round(size / _NODE_SPACING_MM) + 1)) for size in extent_mm)
    return sd_mm * random_field(3, (z, y, x), control_spacing_mm, generator)


def exponential(velocity_mm: Tensor, extent_mm: Extent) -> Tensor:
    """Displacement after flowing along a stationary velocity field for a unit of time.

    By scaling and squaring; the flow of the negative velocity is the inverse.

    Args:
        velocity_mm: velocity along (z, y, x) at nodes that divide the volume evenly, `(3, nz, ny, nx)`.
        extent_mm: size of the volume along (z, y, x), millimetres.

    Returns:
        Displacement at the same nodes, millimetres, `(3, nz, ny, nx)`.
    """
    to_relative = torch.tensor([2 / size for size in extent_mm])[:, None, None, None]
    axes = [torch.linspace(-1, 1, n) for n in velocity_mm.shape[1:]]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)[None]
    flow: Tensor = (velocity_mm * to_relative).flip(0)[None] / 2**_SQUARINGS
    for _ in range(_SQUARINGS):
        flow = flow + _sample(flow, nodes + flow.movedim(1, -1))
    return flow[0].flip(0) / to_relative


def interpolate(field: Tensor, extent_mm: Extent, points_mm: Tensor) -> Tensor:
    """Evaluate a field between its nodes, linearly.

    Args:
        field: values at nodes that divide the volume evenly from edge to edge, `(channel, nz, ny, nx)`.
        extent_mm: size of the volume along (z, y, x), millimetres.
        points_mm: (z, y, x) of each point, millimetres, shape `(..., 3)`.

    Returns:
        Values at the points, shape `(..., channel)`; beyond the volume those of its nearest edge.
    """
    relative = points_mm * torch.tensor([2 / size for size in extent_mm]) - 1
    values = _sample(field[None], relative.flip(-1).reshape(1, 1, 1, -1, 3))
    return values.reshape(len(field), -1).T.reshape(*points_mm.shape[:-1], len(field))


def _sample(fields: Tensor, points: Tensor) -> Tensor:
    """Linear interpolation at points (x, y, z), from -1 at one edge of the volume to 1 at the other."""
    return grid_sample(fields, points, padding_mode="border", align_corners=True)


def warp_head(head: CrispHead, deformation: Deformation) -> CrispHead:
    """Deform a head on its own grid, by nearest neighbour; what comes from outside the volume is air.

    Args:
        head: the head to deform.
        deformation: where its voxels come from.
    """
    labels = torch.from_numpy(head.indices)
    z, y, x = ((torch.arange(n) + 0.5) * size for n, size in zip(labels.shape, head.spacing_mm, strict=True))
    warped = np.empty_like(head.indices)
    for plane in range(len(z)):
        sources = deformation.source_grid((z[plane : plane + 1], y, x))[0]
        warped[plane] = nearest_labels(labels, head.spacing_mm, sources).numpy()
    return replace(head, indices=warped)


def nearest_labels(labels: Tensor, spacing_mm: Extent, points_mm: Tensor) -> Tensor:
    """Look up the voxel that each point lies in.

    Args:
        labels: `(z, y, x)`.
        spacing_mm: voxel size along (z, y, x), millimetres.
        points_mm: (z, y, x) of each point, millimetres from the lower corner of the volume, shape `(..., 3)`.

    Returns:
        Labels of the points, `(...)`; 0 outside the volume.

    Example:
        >>> labels = torch.arange(1, 9).reshape(2, 2, 2)
        >>> nearest_labels(labels, (3.0, 1.0, 1.0), torch.tensor([[5.9, 0.0, 1.5], [6.0, 0.0, 1.5]]))
        tensor([6, 0])
    """
    _, height, width = labels.shape
    z, y, x = (points_mm / torch.tensor(spacing_mm)).floor().to(torch.int64).unbind(-1)
    inside = (z >= 0) & (z < labels.shape[0]) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = (z * height + y) * width + x
    return labels.flatten()[index.where(inside, 0)].where(inside, 0)


def _linear_weights(positions: Tensor, n_nodes: int) -> Tensor:
    """Weights of evenly spaced nodes at positions from 0 to 1, constant beyond, `(position, node)`."""
    at = (positions * (n_nodes - 1)).clamp(0, n_nodes - 1)
    return (1 - (at[:, None] - torch.arange(n_nodes)).abs()).clamp(min=0)


def _random_linear(generator: torch.Generator, strength: DeformationStrength) -> Tensor:
    """Rotation, scaling, shear and flip as one matrix on (z, y, x)."""
    angles, scaling, shear = 2 * torch.rand(3, 3, generator=generator) - 1
    flipped = torch.rand(1, generator=generator).item() < strength.flip_probability
    matrix = torch.diag(1 + strength.scaling * scaling)
    for (row, column), amount in zip(((0, 1), (0, 2), (1, 2)), strength.shear * shear, strict=True):
        matrix[row, column] = amount
    for axis, angle in enumerate(math.radians(strength.rotation_deg) * angles):
        first, second = (other for other in range(3) if other != axis)
        turn = torch.eye(3)
        turn[first, first] = turn[second, second] = angle.cos()
        turn[first, second], turn[second, first] = -angle.sin(), angle.sin()
        matrix = turn @ matrix
    return matrix @ torch.diag(torch.tensor([1.0, 1.0, -1.0 if flipped else 1.0]))
