"""Where a point of the patient lies on the page, whatever the axes of the file."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.axial import axial_slices, largest_slice, pixel_size_mm

SHAPE = (7, 9, 5)
RAS = np.diag([1.0, 2.0, 3.0, 1.0])


def reoriented(array: NDArray[np.float64], codes: tuple[str, ...]) -> nib.Nifti1Image:
    """The same patient in a file whose axes point elsewhere."""
    image = nib.Nifti1Image(array, RAS)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(RAS), nib.orientations.axcodes2ornt(codes)
    )
    moved: nib.Nifti1Image = image.as_reoriented(turn)
    return moved


ORIENTATIONS = [
    codes for axes in permutations((("R", "L"), ("A", "P"), ("S", "I"))) for codes in product(*axes)
]


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_every_orientation_gives_the_same_picture(codes: tuple[str, ...]) -> None:
    patient = np.random.default_rng(0).random(SHAPE)
    image = reoriented(patient, codes)
    shown = axial_slices(np.asarray(image.dataobj), image.affine)
    # In RAS indices: slices upwards, rows from anterior, columns from the patient's right.
    np.testing.assert_array_equal(shown, patient[::-1, ::-1].transpose(2, 1, 0))
    assert pixel_size_mm(image.affine) == (2.0, 1.0)


def test_the_right_of_the_patient_is_on_the_left_of_the_page() -> None:
    patient = np.zeros(SHAPE)
    patient[-1, -1, -1] = 1  # rightmost, most anterior, highest
    assert np.argwhere(axial_slices(patient, RAS)).tolist() == [[SHAPE[2] - 1, 0, 0]]
    assert np.argwhere(patient.transpose(2, 1, 0)).tolist() != [[SHAPE[2] - 1, 0, 0]]


def test_an_oblique_grid_is_shown_along_its_nearest_axes() -> None:
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    patient = np.random.default_rng(1).random(SHAPE)
    np.testing.assert_array_equal(axial_slices(patient, tilt @ RAS), axial_slices(patient, RAS))
    assert pixel_size_mm(tilt @ RAS) == pytest.approx((2.0, 1.0))


def test_further_axes_stay_behind() -> None:
    maps = np.random.default_rng(2).random((*SHAPE, 4, 3))
    np.testing.assert_array_equal(axial_slices(maps, RAS)[..., 2, 1], axial_slices(maps[..., 2, 1], RAS))


def test_the_largest_slice_is_the_one_with_most_pixels() -> None:
    mask = np.zeros((6, 4, 4), bool)
    mask[1, :2] = True
    mask[4, :3] = True
    assert largest_slice(mask) == 4
    assert largest_slice(np.zeros((6, 4, 4), bool)) == 3
