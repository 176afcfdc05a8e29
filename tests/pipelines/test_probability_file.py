"""Probabilities on disk: values and refusals."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.probability_file import read_probabilities
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import NiftiVolume, write_nifti

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
LIKE = NiftiVolume(np.zeros((3, 4, 2), np.uint8), AFFINE)


def probabilities() -> NDArray[np.float32]:
    return np.random.default_rng(0).dirichlet((1, 1, 1, 1), (3, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_values_come_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a_prob{suffix}"
    write_nifti(path, probabilities(), AFFINE)
    np.testing.assert_array_equal(read_probabilities(path, LIKE), probabilities())


@pytest.mark.parametrize(
    ("values", "affine", "message"),
    [
        (
            probabilities()[..., 0],
            AFFINE,
            r"expected four axes \(x, y, slice, class\), received shape \(3, 4, 2\)",
        ),
        (probabilities()[..., :1], AFFINE, r"expected four axes \(x, y, slice, class\), received shape"),
        (probabilities()[:2], AFFINE, r"expected grid \(x, y, slice\) \(3, 4, 2\), received \(2, 4, 2\)"),
        (probabilities(), np.eye(4), r"expected the same affine to 0\.001, received a difference of 2"),
        (3 * probabilities() - 0.5, AFFINE, r"expected values in \[0, 1\], received "),
        (0.5 * probabilities(), AFFINE, r"expected probabilities that add up to 1, received a sum of 0\.5"),
    ],
)
def test_other_content_is_refused(
    values: NDArray[np.float32], affine: NDArray[np.float64], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a_prob.nii.gz"
    write_nifti(path, values, affine)
    with pytest.raises(InputError, match=f"a_prob.nii.gz: read probabilities: {message}"):
        read_probabilities(path, LIKE)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_prob.nii.gz"
    write_nifti(path, probabilities(), AFFINE)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        InputError, match=r"a_prob\.nii\.gz: read probabilities: expected an intact NIfTI file, received"
    ):
        read_probabilities(path, LIKE)
