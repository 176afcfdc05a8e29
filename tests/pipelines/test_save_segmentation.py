"""Saved labels: order of axes, affine and units, place, and refusals."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from kseg.pipelines.save_segmentation import SaveSegmentationd
from kseg.transforms.errors import InputError

SHEARED = np.array([[1.0, 0.2, 0, -8], [0, 1, 0.1, 5], [0, 0, 3, 2.5], [0, 0, 0, 1]])


def item(affine: np.ndarray = SHEARED) -> dict:
    labels = torch.arange(24).reshape(1, 2, 3, 4).float() % 4
    return {"pred": labels, "image_meta_dict": {"affine": torch.from_numpy(affine)}, "case": "site/a"}


def test_labels_go_to_the_grid_of_the_input(tmp_path: Path) -> None:
    given = item()
    assert SaveSegmentationd("pred", str(tmp_path))(given)["pred"] is given["pred"]
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["a_seg.nii.gz"]
    image = nibabel.load(tmp_path / "site" / "a_seg.nii.gz")
    saved = np.asarray(image.dataobj)
    assert saved.dtype == np.uint8
    assert saved.shape == (4, 3, 2)
    assert saved[3, 1, 0] == given["pred"][0, 0, 1, 3]
    np.testing.assert_array_equal(saved, given["pred"][0].permute(2, 1, 0).numpy())
    np.testing.assert_array_equal(image.affine, SHEARED.astype(np.float32))
    assert image.header.get_xyzt_units()[0] == "mm"


def test_ending_and_keys_are_free(tmp_path: Path) -> None:
    given = {"labels": item()["pred"], "meta": item()["image_meta_dict"], "name": "b"}
    SaveSegmentationd(["labels", "none"], str(tmp_path), "meta", "name", "mask", True)(given)
    assert [path.name for path in tmp_path.iterdir()] == ["b_mask.nii.gz"]


def test_affine_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    with pytest.raises(InputError, match="expected an invertible 4 x 4 affine"):
        SaveSegmentationd("pred", str(tmp_path))(item(flat))
    assert not any((tmp_path / "site").iterdir())
