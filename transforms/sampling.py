"""Which k-space samples are measured: lines along the phase-encode axis, or points of the plane.

Masks are boolean, True where sampled; the zero frequency lies at index `n // 2`. Counts are exact.
"""

import math

import torch
from torch import Tensor


def line_count(n_lines: int, fraction: float) -> int:
    """Number of sampled lines: fraction * n_lines rounded to the nearest integer, halves up.

    Args:
        n_lines: lines of the full k-space.
        fraction: sampled share, in (0, 1].

    Raises:
        ValueError: a share outside (0, 1].

    Example:
        >>> line_count(180, 0.3), line_count(216, 0.3)
        (54, 65)
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"sampled fraction: expected a number in (0, 1], received {fraction}")
    # 0.3 * 215 is 64.49999...; the tolerance keeps a half that is exact on paper a half.
    return max(1, math.floor(fraction * n_lines + 0.5 + 1e-9))


def gaussian_lines(
    n_lines: int,
    n_sampled: int,
    n_center: int,
    generator: torch.Generator,
    *,
    width: float = 0.1,
    floor: float = 0.15,
) -> Tensor:
    """Draw lines whose density falls off from the centre like a Gaussian.

    Density of line k off the centre: exp(-(k / (width n_lines))^2 / 2) + floor, drawn without replacement;
    the central lines are always sampled and count.

    Args:
        n_lines: lines of the full k-space.
        n_sampled: lines to sample, the central ones included.
        n_center: central lines that are always sampled.
        generator: source of randomness.
        width: standard deviation of the density relative to n_lines.
        floor: uniform part of the density, relative to the peak of the Gaussian.

    Returns:
        Mask `(n_lines,)` with exactly n_sampled lines.

    Raises:
        ValueError: counts that do not fit into each other, or a density that cannot be drawn from.

    Reference:
        Schlemper et al., A deep cascade of convolutional neural networks for MR image reconstruction, 2017;
        the width and the floor (half the sampled share) are those of its Cartesian masks.

    Example:
        >>> mask = gaussian_lines(180, 54, 16, torch.Generator().manual_seed(0))
        >>> int(mask.sum()), bool(mask[82:98].all())
        (54, True)
    """
    if width <= 0 or floor < 0:
        raise ValueError(f"line density: expected width > 0 and floor >= 0, received {width} and {floor}")
    offset = torch.arange(n_lines, dtype=torch.float64) - n_lines // 2
    # A line far out may underflow to a density of exactly zero; it must still be drawable as the last resort.
    density = torch.exp(-((offset / (width * n_lines)) ** 2) / 2).clamp(min=1e-30) + floor
    return _central_and_drawn(density, n_sampled, n_center, generator)


def uniform_lines(n_lines: int, n_sampled: int, n_center: int, generator: torch.Generator) -> Tensor:
    """Draw lines with equal probability outside the centre.

    Args:
        n_lines: lines of the full k-space.
        n_sampled: lines to sample, the central ones included.
        n_center: central lines that are always sampled.
        generator: source of randomness.

    Returns:
        Mask `(n_lines,)` with exactly n_sampled lines.

    Raises:
        ValueError: counts that do not fit into each other.

    Example:
        >>> int(uniform_lines(10, 5, 2, torch.Generator().manual_seed(0)).sum())
        5
    """
    return _central_and_drawn(torch.ones(n_lines, dtype=torch.float64), n_sampled, n_center, generator)


def equispaced_lines(n_lines: int, n_sampled: int, n_center: int, offset: int = 0) -> Tensor:
    """Place the lines outside the centre at equal distances.

    The outer lines are the positions floor((i + 1/2) m / n) among the m lines outside the centre, all moved
    cyclically by the offset, so distances differ by one line at most, save across the centre.

    Args:
        n_lines: lines of the full k-space.
        n_sampled: lines to sample, the central ones included.
        n_center: central lines that are always sampled.
        offset: cyclic shift of the outer lines, in lines.

    Returns:
        Mask `(n_lines,)` with exactly n_sampled lines.

    Raises:
        ValueError: counts that do not fit into each other.

    Example:
        >>> equispaced_lines(8, 4, 2).int()
        tensor([0, 1, 0, 1, 1, 0, 1, 0], dtype=torch.int32)
    """
    mask = _central_lines(n_lines, n_sampled, n_center)
    outer = torch.nonzero(~mask).flatten()
    n_outer = n_sampled - n_center
    if n_outer:
        positions = torch.div(
            (2 * torch.arange(n_outer) + 1) * len(outer), 2 * n_outer, rounding_mode="floor"
        )
        mask[outer[(positions + offset) % len(outer)]] = True
    return mask


def poisson_disc(shape: tuple[int, int], n_sampled: int, n_center: int, generator: torch.Generator) -> Tensor:
    """Draw points of the plane that keep their distance, with a full square in the centre.

    Points come in random order; one is kept if it lies at or beyond the radius of every point kept before.
    The radius is scale * (1/2 + away), away the distance from the centre relative to the size of the plane,
    so the density falls off by a factor of about 6 from the centre to the corners. Bisection finds the
    largest scale that leaves enough points; those kept first make the exact count. So no two points outside
    the central square lie nearer to each other than the smaller of their radii; the square itself keeps no
    distance.

    On a lattice a radius up to 1 keeps every point: in a mask of more than about a fifth of the plane, points
    around the centre are neighbours, the farther out the more it samples.

    Args:
        shape: (y, x) of the plane.
        n_sampled: points to sample, the central ones included.
        n_center: side of the full central square.
        generator: source of randomness.

    Returns:
        Mask `(y, x)` with exactly n_sampled points.

    Raises:
        ValueError: counts that do not fit into each other.

    Reference:
        Cook, Stochastic sampling in computer graphics, 1986, section 5 (dart throwing).

    Example:
        >>> mask = poisson_disc((40, 36), 288, 8, torch.Generator().manual_seed(0))
        >>> int(mask.sum()), bool(mask[16:24, 14:22].all())
        (288, True)
    """
    n_y, n_x = shape
    if not 0 <= n_center <= min(shape) or not n_center**2 <= n_sampled <= n_y * n_x or n_sampled < 1:
        raise ValueError(
            f"Poisson disc: expected a center within {shape} and between center**2 and {n_y * n_x} points, "
            f"received center {n_center} and {n_sampled} points"
        )
    mask = torch.zeros(shape, dtype=torch.bool)
    top, left = n_y // 2 - n_center // 2, n_x // 2 - n_center // 2
    mask[top : top + n_center, left : left + n_center] = True
    candidates = torch.nonzero(~mask)
    darts = candidates[torch.randperm(len(candidates), generator=generator)]
    n_outer = n_sampled - n_center**2
    kept = _spread(darts, shape, n_outer) if n_outer else darts[:0]
    mask[kept[:, 0], kept[:, 1]] = True
    return mask


def _spread(darts: Tensor, shape: tuple[int, int], n_points: int) -> Tensor:
    """Keep exactly n_points darts at the largest distance that bisection finds."""
    n_y, n_x = shape
    away = torch.hypot((darts[:, 0] - n_y // 2) / n_y, (darts[:, 1] - n_x // 2) / n_x).double()
    # At this scale not even discs of the smallest radius find room for all points, or one covers the plane.
    low, high = 0.0, min(4 * math.sqrt(n_y * n_x / n_points), 2 * math.hypot(n_y, n_x))
    best = list(range(n_points))
    for _ in range(14):
        scale = (low + high) / 2
        kept = _throw(darts, scale * (0.5 + away), n_x, n_points)
        if len(kept) == n_points:
            low, best = scale, kept
        else:
            high = scale
    return darts[best]


def _throw(darts: Tensor, radius: Tensor, n_x: int, enough: int) -> list[int]:
    """Indices of the darts, in their order, that lie at or beyond the radius of those kept before."""
    # Squared distances on the lattice are integers: nearer than the radius is at most this.
    blocked = torch.ceil(radius**2).long() - 1
    reach = min(math.isqrt(max(0, int(blocked.max()))), int(darts.max()))
    steps = torch.cartesian_prod(torch.arange(-reach, reach + 1), torch.arange(-reach, reach + 1))
    order = torch.argsort(steps.square().sum(1))
    # A frame as wide as the reach keeps every step inside the plane's bytes.
    width = n_x + 2 * reach
    offsets = (steps[order] @ torch.tensor([width, 1])).tolist()
    within = torch.searchsorted(steps.square().sum(1)[order], blocked.clamp(min=0), right=True).tolist()
    positions = ((darts + reach) @ torch.tensor([width, 1])).tolist()
    taken = bytearray(max(positions) + reach * (width + 1) + 1)
    kept = []
    for index, (position, count) in enumerate(zip(positions, within, strict=True)):
        if taken[position]:
            continue
        kept.append(index)
        if len(kept) == enough:
            break
        for offset in offsets[:count]:
            taken[position + offset] = 1
    return kept


def _central_lines(n_lines: int, n_sampled: int, n_center: int) -> Tensor:
    if not 0 <= n_center <= n_sampled <= n_lines or n_sampled < 1:
        raise ValueError(
            f"line mask: expected 0 <= center <= sampled <= {n_lines} lines and sampled > 0, "
            f"received center {n_center} and sampled {n_sampled}"
        )
    mask = torch.zeros(n_lines, dtype=torch.bool)
    first = n_lines // 2 - n_center // 2
    mask[first : first + n_center] = True
    return mask


def _central_and_drawn(density: Tensor, n_sampled: int, n_center: int, generator: torch.Generator) -> Tensor:
    mask = _central_lines(len(density), n_sampled, n_center)
    n_outer = n_sampled - n_center
    if n_outer:
        mask[torch.multinomial(density.masked_fill(mask, 0), n_outer, generator=generator)] = True
    return mask
