from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_geometry import place_slices
from kseg.transforms.ismrmrd_header import Encoding

ENCODING = Encoding((8, 6, 1), (16.0, 18.0, 4.0), 3)
# Sagittal: readout towards the feet, phase encoding to the back; LPS.
READ, PHASE, SLICE = np.array([[0, 0, -1], [0, 1, 0], [1.0, 0, 0]])


def heads(positions: list[list[float]], read: object = READ, phase: object = PHASE) -> np.ndarray:
    made = np.zeros(len(positions), ismrmrd.hdf5.acquisition_header_dtype)
    made["position"] = positions
    made["read_dir"], made["phase_dir"], made["slice_dir"] = read, phase, SLICE
    return made


def test_the_middle_voxel_of_each_slice_lies_at_its_position():
    positions = [[5.0 * index, -7.0, 11.0] for index in range(3)]
    placed = place_slices("x.h5", "read", heads(positions), ENCODING)
    np.testing.assert_array_equal(placed.order, [0, 1, 2])
    assert placed.notes == ()
    for index, position in enumerate(positions):
        # Left and posterior turn to right and anterior.
        expected = [-position[0], -position[1], position[2], 1]
        np.testing.assert_allclose(placed.affine @ [3, 4, index, 1], expected)
    # A step of the readout (y) goes 2 mm to the feet, one of phase encoding (x) 3 mm to the back.
    np.testing.assert_allclose(placed.affine[:3, 1], [0, 0, -2])
    np.testing.assert_allclose(placed.affine[:3, 0], [0, -3, 0])
    np.testing.assert_allclose(placed.affine[:3, 2], [-5, 0, 0])


def test_interleaved_slices_are_put_in_order():
    placed = place_slices("x.h5", "read", heads([[0, 0, 0], [8, 0, 0], [4, 0, 0], [12, 0, 0]]), ENCODING)
    np.testing.assert_array_equal(placed.order, [0, 2, 1, 3])
    np.testing.assert_allclose(placed.affine @ [3, 4, 1, 1], [-4, 0, 0, 1])


def test_slices_that_go_down_stay_in_their_order():
    placed = place_slices("x.h5", "read", heads([[8, 0, 0], [4, 0, 0]]), ENCODING)
    np.testing.assert_array_equal(placed.order, [0, 1])
    np.testing.assert_allclose(placed.affine[:3, 2], [4, 0, 0])


def test_one_slice_is_as_thick_as_the_header_says():
    placed = place_slices("x.h5", "read", heads([[1, 2, 3]]), ENCODING)
    np.testing.assert_allclose(placed.affine[:3, 2], [-4, 0, 0])
    np.testing.assert_allclose(placed.affine @ [3, 4, 0, 1], [-1, -2, 3, 1])


def test_the_position_of_a_slab_is_that_of_its_middle():
    slab = replace(ENCODING, matrix=(8, 6, 10), fov_mm=(16.0, 18.0, 40.0))
    placed = place_slices("x.h5", "read", heads([[1, 2, 3]]), slab)
    np.testing.assert_allclose(placed.affine @ [3, 4, 5, 1], [-1, -2, 3, 1])
    np.testing.assert_allclose(placed.affine[:3, 2], [-4, 0, 0])


@pytest.mark.parametrize("read", [(0, 0, 0), (np.nan, 0, 0), (0, 0.7, -0.7)])
def test_without_directions_the_header_places_the_slices(read):
    placed = place_slices("x.h5", "read", heads([[0, 0, 0], [4, 0, 0]], read), ENCODING)
    np.testing.assert_array_equal(placed.affine, ENCODING.affine(2))
    assert placed.notes == ("position unknown: axes taken as right, anterior, superior",)


def test_other_stacks_are_refused():
    with pytest.raises(
        InputError, match=r"^x\.h5: read: expected equally spaced slices, received steps of \[4"
    ):
        place_slices("x.h5", "read", heads([[0, 0, 0], [4, 0, 0], [9, 0, 0]]), ENCODING)
    with pytest.raises(InputError, match=r"expected equally spaced slices, received steps of \[0\.0\] mm"):
        place_slices("x.h5", "read", heads([[0, 0, 0], [0, 0, 0]]), ENCODING)
    with pytest.raises(InputError, match=r"expected parallel slices, received slices of several directions"):
        place_slices("x.h5", "read", heads([[0, 0, 0], [4, 0, 0]], [READ, PHASE], [PHASE, READ]), ENCODING)
    with pytest.raises(InputError, match=r"expected finite positions of slices, received NaN or infinite"):
        place_slices("x.h5", "read", heads([[np.inf, 0, 0]]), ENCODING)
