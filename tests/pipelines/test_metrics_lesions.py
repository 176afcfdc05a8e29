"""What counts as a lesion, what as found, and what as made up."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.metrics_lesions import LesionCounts, LesionRule, count_lesions

UNIT = (1.0, 1.0, 1.0)
SHAPE = (12, 12, 6)


def boxes(*corners: tuple[int, int, int], size: int = 2) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    for x, y, z in corners:
        mask[x : x + size, y : y + size, z : z + size] = True
    return mask


def test_one_voxel_in_common_is_enough() -> None:
    reference = boxes((0, 0, 0), (6, 6, 2))
    touching = boxes((2, 0, 0), (7, 7, 3))
    assert count_lesions(touching, reference, UNIT) == LesionCounts(2, 1, 1)
    assert count_lesions(reference, reference, UNIT) == LesionCounts(2, 2, 0)


def test_one_prediction_may_find_two_lesions_and_two_may_find_one() -> None:
    two, bridge = boxes((0, 0, 0), (3, 0, 0)), np.zeros(SHAPE, bool)
    bridge[1:4, 0, 0] = True
    assert count_lesions(bridge, two, UNIT) == LesionCounts(2, 2, 0)
    assert count_lesions(two, bridge, UNIT) == LesionCounts(1, 1, 0)


def test_voxels_that_share_a_corner_are_one_lesion() -> None:
    chain = np.zeros(SHAPE, bool)
    chain[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = True
    nothing = np.zeros(SHAPE, bool)
    assert count_lesions(nothing, chain, UNIT) == LesionCounts(1, 0, 0)
    # With a gap they are three of one voxel, too small to count.
    chain = np.zeros(SHAPE, bool)
    chain[[0, 2, 4], [0, 2, 4], [0, 2, 4]] = True
    assert count_lesions(nothing, chain, UNIT) == LesionCounts(0, 0, 0)
    assert count_lesions(nothing, chain, UNIT, smallest_mm3=0.0) == LesionCounts(3, 0, 0)


@pytest.mark.parametrize(("n_voxels", "counted"), [(2, 0), (3, 1)])
def test_the_smallest_lesion_is_a_volume(n_voxels: int, counted: int) -> None:
    row = np.zeros(SHAPE, bool)
    row[:n_voxels, 0, 0] = True
    nothing = np.zeros(SHAPE, bool)
    # Just 3 mm3 counts, also where the spacing was rounded in a file.
    for spacing_mm in (UNIT, (1.0, 1.0, 0.9999999), (0.7, 0.7, 3.0)):
        assert count_lesions(nothing, row, spacing_mm).reference == counted
        assert count_lesions(row, nothing, spacing_mm).false_positives == counted
    assert count_lesions(nothing, row, UNIT, smallest_mm3=2.0).reference == 1


def test_what_is_too_small_is_neither_missed_nor_made_up_and_still_overlaps() -> None:
    large, speck = boxes((0, 0, 0)), np.zeros(SHAPE, bool)
    speck[0, 0, 0] = True
    assert count_lesions(speck, large, UNIT) == LesionCounts(1, 1, 0)
    assert count_lesions(large, speck, UNIT) == LesionCounts(0, 0, 0)


def test_without_a_lesion_in_the_reference_there_is_no_rate() -> None:
    counts = count_lesions(boxes((0, 0, 0)), np.zeros(SHAPE, bool), UNIT)
    assert counts == LesionCounts(0, 0, 1)
    assert counts.true_positive_rate is None
    assert LesionCounts(4, 3, 0).true_positive_rate == 0.75


def test_numbers_are_those_of_a_search_by_hand() -> None:
    generator = np.random.default_rng(0)
    predicted, reference = generator.random((2, 20, 20, 8)) < 0.02

    def components(mask: NDArray[np.bool_]) -> list[set[tuple[int, ...]]]:
        left, found = set(map(tuple, np.argwhere(mask).tolist())), []
        while left:
            component, front = set(), [left.pop()]
            while front:
                voxel = front.pop()
                component.add(voxel)
                near = {other for other in left if max(abs(np.subtract(other, voxel))) <= 1}
                left -= near
                front += near
            found.append(component)
        return [component for component in found if len(component) >= 2]

    truth, claims = components(reference), components(predicted)
    assert len(truth) > 3
    assert count_lesions(predicted, reference, UNIT, smallest_mm3=2.0) == LesionCounts(
        len(truth),
        sum(any(predicted[voxel] for voxel in component) for component in truth),
        sum(not any(reference[voxel] for voxel in component) for component in claims),
    )


def test_masks_of_other_grids_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"lesion counts: expected .* grid \(12, 12, 6\), received \(12, 12, 5\) and 3"
    ):
        count_lesions(boxes(), boxes()[..., :5], UNIT)
    with pytest.raises(ValueError, match="and 2 spacings"):
        count_lesions(boxes(), boxes(), (1.0, 1.0))


def test_settings_that_make_no_sense_are_refused() -> None:
    for smallest_mm3 in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="smallest lesion: expected a volume of 0 mm3 or more, received"):
            LesionRule(("lesion",), smallest_mm3)
    with pytest.raises(ValueError, match="lesions: expected classes of CSF, GM, received tumour, cyst"):
        LesionRule(("CSF", "tumour", "cyst")).require_known(["CSF", "GM"])
