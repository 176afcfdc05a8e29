"""Entropy of known probabilities, and its file."""

import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from kseg.pipelines.uncertainty import SaveUncertaintyd, uncertainty

AFFINE = np.array([[1.0, 0.2, 0, -8], [0, 1, 0.1, 5], [0, 0, 3, 2.5], [0, 0, 0, 1]])


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_known_entropies(n_classes: int) -> None:
    certain = torch.eye(n_classes)
    assert torch.equal(uncertainty(certain, 1), torch.zeros(n_classes))
    guess = torch.full((1, n_classes), 1 / n_classes)
    torch.testing.assert_close(uncertainty(guess, 1), torch.ones(1))
    one_of_two = torch.zeros(n_classes)
    one_of_two[:2] = 0.5
    assert float(uncertainty(one_of_two, 0)) == pytest.approx(math.log(2) / math.log(n_classes))


def test_it_stays_between_0_and_1_and_keeps_the_other_axes() -> None:
    logits = 9 * torch.randn(5, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    values = uncertainty(logits.softmax(1), axis=1)
    assert values.shape == (5, 6, 7)
    assert 0 <= float(values.min()) < 0.1 < 0.7 < float(values.max()) <= 1
    last = uncertainty(logits.softmax(1).movedim(1, -1), axis=-1)
    torch.testing.assert_close(last, values)


def test_more_heat_is_more_uncertainty() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    cold, warm = (uncertainty((logits / temperature).softmax(1), 1) for temperature in (0.5, 2.0))
    assert (warm > cold).all()


def test_the_map_goes_to_the_grid_of_the_input(tmp_path: Path) -> None:
    probabilities = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(0)).softmax(0)
    item = {"pred": probabilities, "image_meta_dict": {"affine": torch.from_numpy(AFFINE)}, "case": "site/a"}
    assert SaveUncertaintyd("pred", str(tmp_path), ending="uncertainty")(item)["pred"] is probabilities
    image = nibabel.load(tmp_path / "site" / "a_uncertainty.nii.gz")
    saved = np.asarray(image.dataobj)
    assert saved.dtype == np.float32
    expected = -(probabilities * probabilities.log()).sum(0) / math.log(4)
    np.testing.assert_allclose(saved, expected.permute(2, 1, 0).numpy(), rtol=1e-5)
    np.testing.assert_array_equal(image.affine, AFFINE.astype(np.float32))
