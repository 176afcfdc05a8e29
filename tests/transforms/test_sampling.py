from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kseg.transforms.sampling import equispaced_lines, gaussian_lines, line_count, poisson_disc, uniform_lines
from kseg.transforms.seeds import item_generator

Lines = Callable[[int, int, int, torch.Generator], Tensor]

RANDOM_LINES: list[Lines] = [gaussian_lines, uniform_lines]
COUNTS = [
    (180, 54, 16),
    (216, 65, 16),
    (216, 64, 15),
    (7, 3, 1),
    (7, 7, 0),
    (8, 8, 8),
    (8, 3, 3),
    (9, 1, 0),
    (1, 1, 1),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equispaced(n_lines: int, n_sampled: int, n_center: int, generator: torch.Generator) -> Tensor:
    return equispaced_lines(
        n_lines, n_sampled, n_center, int(torch.randint(n_lines, (1,), generator=generator))
    )


def sampled_share(draw: Lines, n_lines: int, n_sampled: int, n_center: int, n_draws: int) -> Tensor:
    generator = seeded()
    masks = [draw(n_lines, n_sampled, n_center, generator) for _ in range(n_draws)]
    return torch.stack(masks).double().mean(0)


def in_band(share: Tensor, first: int, last: int) -> float:
    distance = (torch.arange(len(share)) - len(share) // 2).abs()
    return float(share[(distance >= first) & (distance <= last)].mean())


@pytest.mark.parametrize(
    ("n_lines", "fraction", "count"),
    [
        (180, 0.3, 54),
        (216, 0.3, 65),
        (215, 0.3, 65),
        (214, 0.3, 64),
        (5, 0.1, 1),
        (10, 0.25, 3),
        (3, 1.0, 3),
        (180, 1 / 3, 60),
        (1, 1e-6, 1),
    ],
)
def test_counts_are_rounded_to_the_nearest_halves_up_and_never_to_none(
    n_lines: int, fraction: float, count: int
):
    assert line_count(n_lines, fraction) == count


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_outside_its_range_is_refused(fraction: float):
    with pytest.raises(
        ValueError, match=rf"sampled fraction: expected a number in \(0, 1\], received {fraction}"
    ):
        line_count(180, fraction)


@pytest.mark.parametrize("draw", [*RANDOM_LINES, equispaced])
@pytest.mark.parametrize(("n_lines", "n_sampled", "n_center"), COUNTS)
def test_counts_are_exact_and_the_centre_is_full(draw: Lines, n_lines: int, n_sampled: int, n_center: int):
    for seed in range(5):
        mask = draw(n_lines, n_sampled, n_center, seeded(seed))
        assert mask.dtype == torch.bool
        assert mask.shape == (n_lines,)
        assert int(mask.sum()) == n_sampled
        first = n_lines // 2 - n_center // 2
        assert bool(mask[first : first + n_center].all())


@pytest.mark.parametrize(
    ("n_lines", "n_center", "lines"),
    [(8, 1, [4]), (8, 2, [3, 4]), (7, 1, [3]), (7, 2, [2, 3]), (7, 3, [2, 3, 4])],
)
def test_the_central_lines_lie_around_zero_frequency(n_lines: int, n_center: int, lines: list[int]):
    mask = uniform_lines(n_lines, n_center, n_center, seeded())
    assert torch.nonzero(mask).flatten().tolist() == lines


@pytest.mark.parametrize(
    ("n_lines", "n_sampled", "shares"),
    [(180, 54, (0.53, 0.30, 0.14, 0.12)), (216, 64, (0.56, 0.37, 0.18, 0.13))],
)
def test_the_density_is_that_of_the_published_cartesian_masks(
    n_lines: int, n_sampled: int, shares: tuple[float, ...]
):
    share = sampled_share(gaussian_lines, n_lines, n_sampled, 16, 2000)
    received = [in_band(share, *band) for band in ((9, 20), (21, 40), (41, 60), (61, n_lines))]
    assert received == pytest.approx(shares, abs=0.01)


def test_without_the_floor_the_periphery_is_empty_and_the_density_visibly_another():
    share = sampled_share(lambda *counts: gaussian_lines(*counts, floor=0.0), 180, 54, 16, 1000)
    received = [in_band(share, *band) for band in ((9, 20), (21, 40), (41, 60), (61, 180))]
    assert received == pytest.approx((0.78, 0.40, 0.05, 0.00), abs=0.02)


def test_a_wider_gaussian_moves_lines_outwards():
    narrow = sampled_share(lambda *counts: gaussian_lines(*counts, width=0.05, floor=0.0), 180, 54, 16, 300)
    wide = sampled_share(lambda *counts: gaussian_lines(*counts, width=0.3, floor=0.0), 180, 54, 16, 300)
    assert in_band(narrow, 9, 20) > in_band(wide, 9, 20) + 0.1
    assert in_band(narrow, 61, 90) < in_band(wide, 61, 90) - 0.02


def test_a_density_that_underflows_can_still_fill_every_line():
    assert bool(gaussian_lines(180, 180, 16, seeded(), width=0.001, floor=0.0).all())


def test_uniform_lines_are_uniform():
    share = sampled_share(uniform_lines, 60, 24, 6, 2000)
    outer = torch.cat((share[:27], share[33:]))
    # Standard error sqrt(p (1 - p) / draws) is 0.011.
    assert torch.allclose(outer, torch.full((54,), 18 / 54, dtype=torch.float64), atol=0.045)


@pytest.mark.parametrize(("n_lines", "n_sampled", "n_center"), [(180, 54, 16), (216, 65, 16), (31, 10, 3)])
@pytest.mark.parametrize("offset", [0, 1, 7, -3])
def test_equispaced_lines_keep_their_distances(n_lines: int, n_sampled: int, n_center: int, offset: int):
    mask = equispaced_lines(n_lines, n_sampled, n_center, offset)
    first = n_lines // 2 - n_center // 2
    outside = torch.cat((mask[:first], mask[first + n_center :]))
    positions = torch.nonzero(outside).flatten()
    distances = torch.diff(positions, append=positions[:1] + len(outside))
    assert int(distances.max() - distances.min()) <= 1
    assert int(mask.sum()) == n_sampled


def test_the_offset_shifts_equispaced_lines_around():
    masks = [equispaced_lines(12, 3, 0, offset) for offset in range(4)]
    assert torch.stack(masks).sum(0).tolist() == [1] * 12
    assert torch.equal(equispaced_lines(12, 3, 0, 12), masks[0])


def outer_points(mask: Tensor, n_center: int) -> Tensor:
    outside = mask.clone()
    top, left = mask.shape[0] // 2 - n_center // 2, mask.shape[1] // 2 - n_center // 2
    outside[top : top + n_center, left : left + n_center] = False
    return torch.nonzero(outside).double()


def largest_scale(mask: Tensor, n_center: int) -> float:
    """The largest scale at which all points outside the central square keep the promised distance."""
    points = outer_points(mask, n_center)
    shape = torch.tensor(mask.shape)
    away = ((points - shape // 2) / shape).norm(dim=1)
    distance = torch.cdist(points, points).fill_diagonal_(float("inf"))
    return float((distance / (0.5 + torch.minimum(away[:, None], away[None]))).min())


@pytest.mark.parametrize("shape", [(40, 36), (41, 36), (41, 35)])
@pytest.mark.parametrize(("fraction", "n_center"), [(0.05, 4), (0.1, 0), (0.3, 8), (0.6, 7), (1.0, 6)])
def test_poisson_discs_have_exact_counts_and_a_full_centre(
    shape: tuple[int, int], fraction: float, n_center: int
):
    n_sampled = line_count(shape[0] * shape[1], fraction)
    mask = poisson_disc(shape, n_sampled, n_center, seeded())
    assert mask.shape == shape
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == n_sampled
    top, left = shape[0] // 2 - n_center // 2, shape[1] // 2 - n_center // 2
    assert bool(mask[top : top + n_center, left : left + n_center].all())


@pytest.mark.parametrize(("fraction", "scale"), [(0.02, 7.0), (0.05, 4.4), (0.1, 3.0), (0.2, 1.9)])
def test_poisson_discs_keep_distances_that_random_points_do_not(fraction: float, scale: float):
    shape, n_center = (72, 60), 6
    n_sampled = line_count(72 * 60, fraction)
    discs = poisson_disc(shape, n_sampled, n_center, seeded())
    assert largest_scale(discs, n_center) >= scale
    points = torch.zeros(72 * 60, dtype=torch.bool)
    points[torch.randperm(72 * 60, generator=seeded())[:n_sampled]] = True
    assert largest_scale(points.reshape(shape), n_center) < 0.75 * scale


def test_poisson_discs_are_dense_in_the_centre_and_cover_the_corners():
    masks = [poisson_disc((72, 60), 432, 0, seeded(seed)).double() for seed in range(5)]
    share = torch.stack(masks).mean(0)
    centre, corners = share[26:46, 22:38].mean(), share[:12, :12].mean()
    assert 2.5 < float(centre / corners) < 7
    assert all(
        bool(masks[0][y : y + 12, x : x + 12].any()) for y in range(0, 72, 12) for x in range(0, 60, 12)
    )


DRAWS: dict[str, Callable[[torch.Generator], Tensor]] = {
    "gaussian": lambda generator: gaussian_lines(180, 54, 16, generator),
    "uniform": lambda generator: uniform_lines(180, 54, 16, generator),
    "poisson": lambda generator: poisson_disc((24, 20), 120, 4, generator),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_masks_depend_on_seed_and_item_alone(draw: Callable[[torch.Generator], Tensor]):
    items = [("head_01", 0), ("head_01", 1), ("head_02", 0)]
    forwards = {item: draw(item_generator(7, *item)) for item in items}
    backwards = {item: draw(item_generator(7, *item)) for item in reversed(items)}
    assert all(torch.equal(forwards[item], backwards[item]) for item in items)
    assert not torch.equal(forwards[items[0]], forwards[items[1]])
    assert not torch.equal(forwards[items[0]], draw(item_generator(8, *items[0])))


@pytest.mark.parametrize("draw", [*RANDOM_LINES, equispaced])
@pytest.mark.parametrize(("n_sampled", "n_center"), [(181, 16), (15, 16), (0, 0), (54, -1)])
def test_counts_that_do_not_fit_are_refused(draw: Lines, n_sampled: int, n_center: int):
    with pytest.raises(
        ValueError, match=rf"<= 180 lines and sampled > 0, received center {n_center} and sampled {n_sampled}"
    ):
        draw(180, n_sampled, n_center, seeded())


@pytest.mark.parametrize(("width", "floor"), [(0.0, 0.15), (-0.1, 0.15), (0.1, -0.1)])
def test_a_density_that_is_none_is_refused(width: float, floor: float):
    with pytest.raises(ValueError, match=rf"width > 0 and floor >= 0, received {width} and {floor}"):
        gaussian_lines(180, 54, 16, seeded(), width=width, floor=floor)


@pytest.mark.parametrize(("n_sampled", "n_center"), [(15, 4), (481, 4), (400, 21), (0, 0), (4, -2)])
def test_points_that_do_not_fit_are_refused(n_sampled: int, n_center: int):
    with pytest.raises(
        ValueError, match=rf"Poisson disc: .* received center {n_center} and {n_sampled} points"
    ):
        poisson_disc((24, 20), n_sampled, n_center, seeded())
