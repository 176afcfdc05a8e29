import numpy as np
import pytest

from kseg.transforms.bounding_box import bounding_box


@pytest.mark.parametrize(
    ("margin", "expected"), [(0, (2, 5, 1, 4, 3, 4)), (1, (1, 6, 0, 5, 2, 5)), (3, (0, 8, 0, 6, 0, 6))]
)
def test_the_box_is_as_wide_as_the_mask_and_its_margin(margin: int, expected: tuple[int, ...]):
    inside = np.zeros((8, 6, 6), dtype=bool)
    inside[2, 1, 3] = inside[4, 3, 3] = True
    box = bounding_box(inside, margin)
    within = np.zeros_like(inside)
    z0, z1, y0, y1, x0, x1 = expected
    within[z0:z1, y0:y1, x0:x1] = True
    covered = np.zeros_like(inside)
    covered[box] = True
    np.testing.assert_array_equal(covered, within)
