import numpy as np
import pytest

from kseg.transforms.grid import AcquisitionGrid, GridRange, PlacedGrid, overlap_matrix, place_grid


def cortex_box(shape: tuple[int, ...], start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray:
    cortex = np.zeros(shape, dtype=bool)
    cortex[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return cortex


def test_the_top_slice_ends_above_the_cortex_and_the_plane_is_centred_on_it():
    grid = AcquisitionGrid(shape=(10, 40, 30), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=6.0)
    placed = place_grid(grid, cortex_box((60, 50, 50), (20, 10, 12), (40, 40, 32)), (1.0, 1.0, 1.0))
    assert placed.origin_mm == (40 + 6 - 30, 25 - 20, 22 - 15)


def test_edges_snap_to_voxels_of_the_volume():
    grid = AcquisitionGrid(shape=(10, 21, 21), spacing_mm=(3.0, 1.0, 1.0))
    placed = place_grid(grid, cortex_box((40, 40, 40), (10, 10, 10), (25, 26, 26)), (1.5, 0.7, 0.7))
    for origin, spacing in zip(placed.origin_mm, (1.5, 0.7, 0.7), strict=True):
        assert origin / spacing == pytest.approx(round(origin / spacing))
    assert placed.origin_mm[1] == pytest.approx(0.7 * 18 - 10.5, abs=0.36)


def test_affine_keeps_points_where_they_are():
    volume_affine = np.array([[0.5, 0, 0, -20], [0, 0.5, 0.1, -30], [0, -0.1, 1.0, 5], [0, 0, 0, 1]])
    placed = PlacedGrid(AcquisitionGrid((4, 6, 8), (3.0, 1.0, 2.0)), (6.0, -1.0, 0.5))
    affine = placed.affine(volume_affine, (1.0, 0.5, 0.5))
    x, y, z = 3, 2, 1
    # Centre of that voxel, millimetres from the lower corner of the volume, then as an index of the volume.
    centre = np.array([0.5 + 2.0 * (x + 0.5), -1.0 + 1.0 * (y + 0.5), 6.0 + 3.0 * (z + 0.5)])
    index = centre / (0.5, 0.5, 1.0) - 0.5
    np.testing.assert_allclose(affine @ [x, y, z, 1], volume_affine @ [*index, 1])


def test_a_grid_equal_to_the_volume_has_its_affine():
    volume_affine = np.array([[2.0, 0, 0, -7], [0, 3.0, 0, 1], [0, 0, 4.0, 9], [0, 0, 0, 1]])
    placed = PlacedGrid(AcquisitionGrid((5, 6, 7), (4.0, 3.0, 2.0)), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(placed.affine(volume_affine, (4.0, 3.0, 2.0)), volume_affine)


def test_a_volume_without_cortex_is_refused():
    message = r"^placing the grid: expected grey matter in the label map, received none$"
    with pytest.raises(ValueError, match=message):
        place_grid(AcquisitionGrid(), np.zeros((4, 4, 4), dtype=bool), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ((26, 20, 20), r"at most 24 mm along slice, received 26 mm$"),
        ((20, 41, 20), r"at most 40 mm along y, received 41 mm$"),
        ((20, 20, 31), r"at most 30 mm along x, received 31 mm$"),
    ],
)
def test_a_cortex_larger_than_the_grid_is_refused(stop, message):
    grid = AcquisitionGrid(shape=(10, 40, 30), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=6.0)
    with pytest.raises(ValueError, match=rf"^placing the grid: expected cortex of {message}"):
        place_grid(grid, cortex_box((50, 50, 50), (0, 0, 0), stop), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(("size", "origin", "spacing"), [(3.0, 2.0, 1.0), (1.0, -2.5, 0.7), (0.4, 0.3, 1.3)])
def test_overlaps_average_the_coordinate_itself_exactly(size, origin, spacing):
    n_out, n_in = 6, 40
    matrix = overlap_matrix(n_out, size, origin, n_in, spacing)
    low = origin + size * np.arange(n_out)
    inside = (low >= 0) & (low + size <= n_in * spacing)
    assert inside.any()
    np.testing.assert_allclose(matrix.sum(1)[inside], 1)
    # The cumulative sum of a profile at the edges gives its exact integral.
    profile = np.random.default_rng(0).random(n_in)
    edges = spacing * np.arange(n_in + 1)
    integral = np.concatenate([[0], np.cumsum(profile) * spacing])
    expected = (np.interp(low + size, edges, integral) - np.interp(low, edges, integral)) / size
    np.testing.assert_allclose(matrix @ profile, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("size_mm", "shape"),
    [
        ((130, 170, 140), (49, 320, 243)),
        ((60, 100, 90), (44, 320, 230)),
        ((160, 180, 170), (59, 320, 260)),
        ((200, 180, 140), (60, 320, 243)),
    ],
)
def test_a_grid_is_as_large_as_the_brain_and_its_margin_within_the_limits(size_mm, shape):
    start = (10, 20, 20)
    stop = tuple(low + size for low, size in zip(start, size_mm, strict=True))
    cortex = cortex_box((230, 240, 240), start, stop)
    grid = GridRange().fit(cortex, (1.0, 1.0, 1.0))
    assert grid == AcquisitionGrid(shape, (3.0, 0.7, 0.7), headroom_mm=8.0)
    half = cortex_box((115, 120, 120), (5, 10, 10), tuple(index // 2 for index in stop))
    assert GridRange().fit(half, (2.0, 2.0, 2.0)).shape == shape


def test_a_grid_for_no_cortex_is_refused():
    with pytest.raises(
        ValueError, match=r"^placing the grid: expected grey matter in the label map, received none$"
    ):
        GridRange().fit(np.zeros((4, 4, 4), dtype=bool), (1.0, 1.0, 1.0))
