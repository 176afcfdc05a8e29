"""Metrics against closed forms and against a brute-force search over all pairs of surface voxels."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.metrics import structure_metrics, voxel_spacing_mm

SPACING_MM = (0.8, 1.3, 3.0)
Mask = NDArray[np.bool_]


def box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*limits) for limits in ranges)] = True
    return mask


def brute_force(
    predicted: Mask, reference: Mask, spacing_mm: tuple[float, ...]
) -> tuple[float, float, float]:
    """Dice, largest and 95th-percentile distance, from every pair of surface voxels."""

    def surface(mask: Mask) -> NDArray[np.float64]:
        padded = np.pad(mask, 1)
        inside = padded.copy()
        for axis in range(mask.ndim):
            for step in (-1, 1):
                inside &= np.roll(padded, step, axis)
        points: NDArray[np.float64] = (np.argwhere(padded & ~inside) - 1) * np.asarray(spacing_mm)
        return points

    first, second = surface(predicted), surface(reference)
    pairs = np.sqrt(((first[:, None] - second[None]) ** 2).sum(-1))
    there, back = pairs.min(1), pairs.min(0)
    dice = 2 * (predicted & reference).sum() / (predicted.sum() + reference.sum())
    return (
        float(dice),
        float(max(there.max(), back.max())),
        float(max(np.percentile(there, 95), np.percentile(back, 95))),
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [1, 3])
def test_a_shifted_box_is_away_by_the_shift(axis: int, shift: int) -> None:
    reference = box((16, 14, 12), (3, 9), (3, 9), (3, 9))
    predicted = np.roll(reference, shift, axis)
    metrics = structure_metrics(predicted, reference, SPACING_MM)
    assert metrics.dice == pytest.approx((6 - shift) / 6)
    assert metrics.hausdorff_mm == pytest.approx(shift * SPACING_MM[axis])
    # One face in six is a tenth or more of the surface, so the 95th percentile sees the whole shift.
    assert metrics.hausdorff95_mm == pytest.approx(shift * SPACING_MM[axis])
    transposed = structure_metrics(predicted, reference, SPACING_MM[::-1])
    if axis != 1:
        assert transposed.hausdorff_mm != pytest.approx(shift * SPACING_MM[axis], rel=0.1)


def test_a_diagonal_shift_is_away_by_its_length() -> None:
    reference = box((16, 14, 12), (3, 9), (3, 9), (3, 9))
    predicted = np.roll(reference, (2, 1, 1), (0, 1, 2))
    metrics = structure_metrics(predicted, reference, SPACING_MM)
    assert metrics.hausdorff_mm == pytest.approx(math.sqrt(1.6**2 + 1.3**2 + 3.0**2))
    assert metrics.dice == pytest.approx(4 * 5 * 5 / 6**3)


def test_volumes_are_millilitres() -> None:
    metrics = structure_metrics(
        box((20, 20, 20), (0, 10), (0, 10), (0, 10)),
        box((20, 20, 20), (0, 5), (0, 4), (0, 2)),
        (1.0, 2.0, 3.0),
    )
    assert [metrics.predicted_ml, metrics.reference_ml] == pytest.approx([6.0, 0.24])


def test_one_outlying_voxel_moves_the_largest_distance_only() -> None:
    reference = box((30, 20, 20), (2, 12), (2, 12), (2, 12))
    predicted = reference.copy()
    predicted[25, 5, 5] = True
    metrics = structure_metrics(predicted, reference, (1.0, 1.0, 1.0))
    assert metrics.hausdorff_mm == pytest.approx(14.0)
    assert metrics.hausdorff95_mm == 0.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(7, 9, 5), (11, 6)])
def test_agrees_with_brute_force(seed: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    predicted, reference = random.random((2, *shape)) < 0.3
    spacing = SPACING_MM[: len(shape)]
    metrics = structure_metrics(predicted, reference, spacing)
    dice, largest, percentile = brute_force(predicted, reference, spacing)
    assert metrics.dice == pytest.approx(dice)
    assert metrics.hausdorff_mm == pytest.approx(largest)
    assert metrics.hausdorff95_mm == pytest.approx(percentile)


def test_distances_are_symmetric_in_the_two_masks() -> None:
    first, second = np.random.default_rng(9).random((2, 6, 7, 5)) < [[[[0.2]]], [[[0.5]]]]
    there, back = structure_metrics(first, second, SPACING_MM), structure_metrics(second, first, SPACING_MM)
    assert (there.dice, there.hausdorff_mm, there.hausdorff95_mm) == (
        back.dice,
        back.hausdorff_mm,
        back.hausdorff95_mm,
    )
    assert (there.predicted_ml, there.reference_ml) == (back.reference_ml, back.predicted_ml)


def test_a_structure_that_touches_the_border_has_a_surface_there() -> None:
    reference = np.ones((6, 5, 4), bool)
    predicted = box((6, 5, 4), (0, 3), (0, 5), (0, 4))
    assert structure_metrics(predicted, reference, SPACING_MM).hausdorff_mm == pytest.approx(
        3 * SPACING_MM[0]
    )


def test_a_single_slice_is_compared_by_its_contour() -> None:
    disc, ring = box((9, 9), (1, 8), (1, 8)), box((9, 9), (1, 8), (1, 8))
    ring[3:6, 3:6] = False
    flat = structure_metrics(disc, ring, (1.0, 1.0))
    volume = structure_metrics(disc[..., None], ring[..., None], (1.0, 1.0, 5.0))
    # The inner contour of the ring lies one voxel from the outer one; the filled middle is no surface.
    assert (flat.hausdorff_mm, volume.hausdorff_mm) == (1.0, 1.0)
    assert flat.dice == volume.dice


def test_one_voxel_grids_have_a_distance() -> None:
    one = np.ones((1, 1, 1), bool)
    assert structure_metrics(one, one, SPACING_MM).hausdorff_mm == 0.0


def test_missed_spurious_and_absent_are_told_apart() -> None:
    there, nowhere = box((4, 4, 4), (1, 3), (1, 3), (1, 3)), np.zeros((4, 4, 4), bool)
    missed = structure_metrics(nowhere, there, SPACING_MM)
    spurious = structure_metrics(there, nowhere, SPACING_MM)
    absent = structure_metrics(nowhere, nowhere, SPACING_MM)
    found = structure_metrics(there, there, SPACING_MM)
    assert [(m.missed, m.spurious, m.absent) for m in (missed, spurious, absent, found)] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (False, False, False),
    ]
    for metrics in (missed, spurious):
        assert (metrics.dice, metrics.hausdorff_mm, metrics.hausdorff95_mm) == (0.0, math.inf, math.inf)
    assert (absent.dice, absent.hausdorff_mm, absent.hausdorff95_mm) == (None, None, None)
    assert (found.dice, found.hausdorff_mm, found.hausdorff95_mm) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(("reference_shape", "spacing"), [((4, 5, 4), SPACING_MM), ((4, 4, 5), (1.0, 1.0))])
def test_masks_of_different_grids_are_refused(
    reference_shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    predicted = np.ones((4, 4, 5), bool)
    with pytest.raises(
        ValueError, match=r"expected reference and spacing of the grid \(4, 4, 5\), received \(4"
    ):
        structure_metrics(predicted, np.ones(reference_shape, bool), spacing)


def test_spacing_of_a_rotated_grid() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
    assert voxel_spacing_mm(turn @ np.diag([-0.9, 1.1, 3.0, 1.0])) == pytest.approx((0.9, 1.1, 3.0))


def test_a_sheared_grid_is_refused() -> None:
    sheared = np.eye(4)
    sheared[1, 2] = 0.2
    with pytest.raises(ValueError, match=r"expected voxel axes at right angles .* received cosine 0\.196"):
        voxel_spacing_mm(sheared)
