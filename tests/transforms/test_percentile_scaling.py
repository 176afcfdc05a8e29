"""Scaling is MONAI's where there is a range, and refuses where MONAI only warns."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityRangePercentilesd

from kseg.transforms.percentile_scaling import ScaleBetweenPercentilesd


def image() -> torch.Tensor:
    return torch.randn(3, 6, 20, 18, generator=torch.Generator().manual_seed(0)) * 40 + 100


def test_it_scales_as_monai_does() -> None:
    theirs = ScaleIntensityRangePercentilesd("image", 0.5, 99.5, 0.0, 1.0, channel_wise=True)
    ours = ScaleBetweenPercentilesd("image")
    torch.testing.assert_close(
        ours({"image": image()})["image"], torch.as_tensor(theirs({"image": image()})["image"].numpy())
    )


def test_units_of_a_channel_do_not_matter() -> None:
    factors = torch.tensor([1.0, 1e-3, 500.0]).reshape(3, 1, 1, 1)
    scaled, other = (
        ScaleBetweenPercentilesd("image")({"image": x})["image"] for x in (image(), image() * factors)
    )
    torch.testing.assert_close(scaled, other, rtol=1e-4, atol=1e-4)


def test_where_an_image_lies_is_kept() -> None:
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    given = MetaTensor(image(), affine=affine)
    scaled = ScaleBetweenPercentilesd("image")({"image": given})["image"]
    assert torch.equal(scaled.affine, affine)
    assert torch.equal(given.as_tensor(), image())


@pytest.mark.parametrize("value", [1.0, np.nan, np.inf, -np.inf])
def test_a_channel_without_a_range_is_refused(value: float) -> None:
    x = image()
    x[1] = 0.0
    x[1, 0] = value if not np.isfinite(value) else 0.0
    x[1, 0, 0, 0] = value
    message = r"image 2: expected values that differ between the percentiles 0.5 and 99.5, received"
    with pytest.raises(ValueError, match=message):
        ScaleBetweenPercentilesd("image")({"image": x})


@pytest.mark.parametrize("ends", [(50.0, 50.0), (-1.0, 99.0), (1.0, 101.0)])
def test_percentiles_have_to_rise(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"expected two that rise within 0\.\.100, received"):
        ScaleBetweenPercentilesd("image", *ends)


@pytest.mark.parametrize("n", [1000, 1_100_000])
def test_integers_are_scaled_as_numbers(n: int) -> None:
    x = torch.arange(n, dtype=torch.int32)[None] % 2 * 3
    scaled = ScaleBetweenPercentilesd("image", 50.0, 100.0)({"image": x})["image"]
    # The median lies at 1.5, between two integers.
    assert scaled[0, :4].tolist() == [-1.0, 1.0, -1.0, 1.0]
