"""A larger voxel is the mean of the smaller ones in it."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Spacingd

from kseg.transforms.errors import InputError
from kseg.transforms.slab_average import AverageToSpacingd, box_average


def test_whole_and_partial_boxes_are_means() -> None:
    x = torch.arange(12.0, dtype=torch.float64) ** 2
    three = box_average(x, 0, 3.0)
    torch.testing.assert_close(three[1:-1], (x[:-2] + x[1:-1] + x[2:]) / 3)
    torch.testing.assert_close(three[0], (x[0] + x[1]) / 2)
    between = box_average(x, 0, 1.5)
    torch.testing.assert_close(between[1:-1], (0.25 * x[:-2] + x[1:-1] + 0.25 * x[2:]) / 1.5)


@pytest.mark.parametrize("width", [1.0, 1.2, 2.0, 4.3, 9.0])
def test_what_is_constant_stays_so_up_to_the_ends(width: float) -> None:
    torch.testing.assert_close(box_average(torch.full((2, 7, 3), 5.0), 1, width), torch.full((2, 7, 3), 5.0))


def test_every_thin_slice_counts_at_the_coarser_spacing() -> None:
    thin = torch.randn(1, 31, 8, 8, generator=torch.Generator().manual_seed(0))
    affine = torch.diag(torch.tensor([1.0, 0.7, 0.7, 1.0], dtype=torch.float64))
    given = {"image": MetaTensor(thin, affine=affine)}
    at = Spacingd("image", pixdim=(3.0, 0.7, 0.7), mode="bilinear")
    averaged = at(AverageToSpacingd("image", (3.0, 0.7, 0.7))(given))["image"]
    taken = at(given)["image"]
    n = averaged.shape[1]
    expected = box_average(thin, 1, 3.0)[:, ::3][:, :n]
    torch.testing.assert_close(averaged.as_tensor(), expected, rtol=1e-4, atol=1e-4)
    # The wrong twin: points of the image, two slices in three without a part in it.
    torch.testing.assert_close(taken.as_tensor(), thin[:, ::3][:, :n], rtol=1e-4, atol=1e-4)


def test_coarser_images_and_the_given_one_stay_as_they_are() -> None:
    x = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    affine = torch.diag(torch.tensor([4.0, 0.9, 0.7, 1.0], dtype=torch.float64))
    given = MetaTensor(x.clone(), affine=affine, meta={"filename_or_obj": "a"})
    out = AverageToSpacingd("image", (3.0, 0.7, 0.7))({"image": given})["image"]
    assert torch.equal(out.as_tensor(), x)
    assert torch.equal(out.affine, affine)
    assert out.meta["filename_or_obj"] == "a"
    AverageToSpacingd("image", (9.0, 9.0, 9.0))({"image": given})
    assert torch.equal(given.as_tensor(), x)


def test_what_would_become_too_large_is_refused_with_its_voxel_size() -> None:
    def given(slice_mm: float) -> dict[str, MetaTensor]:
        affine = torch.diag(torch.tensor([slice_mm, 14.0, 14.0, 1.0], dtype=torch.float64))
        return {
            "image": MetaTensor(torch.ones(1, 12, 36, 40), affine=affine, meta={"filename_or_obj": "a.nii"})
        }

    average = AverageToSpacingd("image", (3.0, 0.7, 0.7))
    message = (
        r"^a\.nii: resample: expected at most 1e\+08 voxels once they are 3 x 0\.7 x 0\.7 mm, "
        r"received 240 x 720 x 800 of voxels that are 60 x 14 x 14 mm$"
    )
    with pytest.raises(InputError, match=message):
        average(given(60.0))
    assert average(given(43.0))["image"].shape == (1, 12, 36, 40)


def test_sizes_are_positive() -> None:
    with pytest.raises(ValueError, match=r"expected positive sizes in millimetres, received \[3.0, 0.0\]"):
        AverageToSpacingd("image", (3.0, 0.0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bool])
def test_integers_are_averaged_as_numbers(dtype: torch.dtype) -> None:
    x = torch.tensor([200, 0, 200, 200, 100]).to(dtype)
    for width in (1.0, 1.5, 3.0):
        averaged = box_average(x, 0, width)
        assert averaged.dtype == torch.float32
        assert torch.equal(averaged, box_average(x.float(), 0, width))


def test_the_mean_is_taken_where_the_image_is() -> None:
    x = torch.arange(5.0)
    with torch.device("meta"):
        averaged = box_average(x, 0, 3.0)
    assert averaged.tolist() == [0.5, 1.0, 2.0, 3.0, 3.5]
