import numpy as np
import pytest

from kseg.transforms.signed_distance import signed_distance


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 1.0, 2.0)])
def test_distance_to_a_plane_is_exact(spacing_mm):
    for axis in range(3):
        inside = np.zeros((8, 9, 10), dtype=bool)
        inside[(slice(None),) * axis + (slice(4, None),)] = True
        distance = np.moveaxis(signed_distance(inside, spacing_mm), axis, 0)[:, 2, 2]
        half = min(spacing_mm) / 2
        expected = np.arange(4, 4 - len(distance), -1) * spacing_mm[axis] - half
        np.testing.assert_allclose(distance, expected, atol=1e-5)
        assert ((distance < 0) == (np.arange(len(distance)) >= 4)).all()


def test_distance_to_a_ball_is_that_of_a_ball():
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    radius = np.sqrt(z**2 + y**2 + x**2)
    distance = signed_distance(radius < 12, (1.0, 1.0, 1.0))
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, radius - 12, atol=1.2)
    assert np.abs(distance - (radius - 12)).mean() < 0.3


def test_without_a_surface_it_is_infinitely_far():
    assert (signed_distance(np.zeros((2, 2, 2), dtype=bool), (1.0, 1.0, 1.0)) == np.inf).all()
    assert (signed_distance(np.ones((2, 2, 2), dtype=bool), (1.0, 1.0, 1.0)) == -np.inf).all()
