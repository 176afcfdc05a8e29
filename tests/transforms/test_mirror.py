"""A mirrored image and its mirrored k-space stay each other's transform."""

import pytest
import torch
from torch import Tensor

from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.mirror import mirror_x
from kseg.transforms.sampling import gaussian_lines

SIZES = [(7, 8), (8, 7), (6, 180), (5, 1)]


def image(n_y: int, n_x: int) -> Tensor:
    return torch.randn(2, n_y, n_x, dtype=torch.complex64, generator=torch.Generator().manual_seed(n_x))


@pytest.mark.parametrize("size", SIZES)
def test_k_space_is_mirrored_like_its_image(size: tuple[int, int]) -> None:
    x = image(*size)
    torch.testing.assert_close(fft2c(mirror_x(x)), mirror_x(fft2c(x)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "twin",
    [lambda x: x.flip(-1), lambda x: mirror_x(x).conj(), lambda x: x.flip(-1).roll(-1, -1)],
    ids=["reversed about half a step", "conjugated", "rolled to the other side"],
)
def test_other_reversals_are_not_that_of_the_image(twin) -> None:
    x = image(6, 180)
    assert (fft2c(mirror_x(x)) - twin(fft2c(x))).abs().max() > 0.5


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_every_index_goes_to_the_other_side_of_the_origin(n: int) -> None:
    center = n // 2
    expected = [(2 * center - index) % n for index in range(n)]
    assert mirror_x(torch.arange(n)).tolist() == expected
    assert torch.equal(mirror_x(mirror_x(torch.arange(n))), torch.arange(n))


def test_the_zero_filled_image_of_a_mirrored_scan_is_the_mirrored_one() -> None:
    mask = gaussian_lines(180, 54, 16, torch.Generator().manual_seed(3))
    assert not torch.equal(mirror_x(mask), mask)
    kspace = fft2c(image(6, 180))
    expected = mirror_x(ifft2c(kspace * mask))
    received = ifft2c(mirror_x(kspace) * mirror_x(mask))
    torch.testing.assert_close(received, expected, rtol=0, atol=1e-5)
    assert (ifft2c(mirror_x(kspace) * mask) - expected).abs().max() > 0.5
