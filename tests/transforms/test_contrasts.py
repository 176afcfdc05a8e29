from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.data import list_data_collate

from kseg.transforms.contrasts import LoadContrastsd
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import write_nifti

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 2, -30], [0, 1, 0, 5], [0, 0, 0, 1]])


def save(path: Path, fill: float, shape: tuple[int, ...] = (4, 5, 6), affine=AFFINE) -> str:
    array = np.full(shape, fill, np.float32)
    array[0, 0, 0] = 0
    write_nifti(path, array, affine)
    return str(path)


def test_contrasts_are_channels_in_their_order_with_the_affine_of_the_files(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"a_{name}.nii.gz", fill) for name, fill in (("T2w", 2), ("T1w", 1))]
    given = {"image": paths, "case": "a"}
    item = LoadContrastsd("image")(given)
    assert given["image"] == paths
    assert item["case"] == "a"
    volume = item["image"]
    assert volume.shape == (2, 4, 5, 6)
    assert volume[:, 1, 2, 3].tolist() == [2.0, 1.0]
    assert volume.dtype.is_floating_point
    assert np.array_equal(volume.affine, AFFINE)
    assert np.array_equal(volume.meta["original_affine"], AFFINE)
    assert volume.meta["filename_or_obj"] == ", ".join(paths)
    assert volume.meta["notes"] == ""


def test_what_is_not_known_of_the_images_is_noted_once(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"a_{name}.nii") for name in ("T1w", "T2w")]
    for path in paths:
        nibabel.save(nibabel.Nifti1Image(np.eye(4, dtype=np.float32)[None], None), path)
    (note,) = LoadContrastsd("image")({"image": paths})["image"].meta["notes"].splitlines()
    assert note.startswith("neither sform nor qform: ")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            {"shape": (4, 5, 7)},
            r"read contrasts: expected grid \(x, y, slice\) \(4, 5, 6\), received \(4, 5, 7\)$",
        ),
        (
            {"affine": AFFINE + np.diag([0, 0, 0.1, 0])},
            r"read contrasts: expected the same affine to 0\.001, ",
        ),
        ({"fill": 0.0}, r"read contrasts: expected an image with contrast, received 0 everywhere$"),
    ],
)
def test_the_image_that_does_not_fit_is_named(second: dict, message: str, tmp_path: Path) -> None:
    paths = [save(tmp_path / "a_T1w.nii.gz", 1.0), save(tmp_path / "a_T2w.nii.gz", **{"fill": 1.0, **second})]
    with pytest.raises(InputError, match=f"a_T2w.nii.gz: {message}"):
        LoadContrastsd("image")({"image": paths})


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_T1w.nii"
    nibabel.save(nibabel.Nifti1Image(1e300 * np.eye(4)[None], np.eye(4)), path)
    with pytest.raises(
        InputError, match=r"read contrasts: expected values that float32 holds, received 1e\+300$"
    ):
        LoadContrastsd("image")({"image": [str(path)]})


def test_one_image_is_one_channel(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", 2)
    for given in (path, Path(path), [path]):
        volume = LoadContrastsd("image")({"image": given})["image"]
        assert volume.shape == (1, 4, 5, 6)
        assert volume.meta["filename_or_obj"] == path


def test_images_with_more_and_fewer_notes_make_a_batch(tmp_path: Path) -> None:
    path = str(tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(np.eye(4, dtype=np.float32)[None], None), path)
    known = save(tmp_path / "b.nii.gz", 1.0, (1, 4, 4), np.eye(4))
    items = [LoadContrastsd("image")({"image": given}) for given in (path, known)]
    notes = list_data_collate(items)["image"].meta["notes"]
    assert [len(each.splitlines()) for each in notes] == [1, 0]
