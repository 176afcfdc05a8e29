import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.testing import assert_adjoint, assert_round_trip, assert_unitary

SHAPES = [(8, 8), (7, 7), (8, 6), (7, 6), (6, 7), (1, 5), (2, 3, 7, 4)]


def written_out(image: np.ndarray, sign: int) -> np.ndarray:
    """The defining sum, index by index: orthonormal, origin of both spaces at n // 2."""
    n_y, n_x = image.shape
    y, x = np.arange(n_y) - n_y // 2, np.arange(n_x) - n_x // 2
    along_y = np.exp(sign * 2j * np.pi * np.outer(y, y) / n_y) / math.sqrt(n_y)
    along_x = np.exp(sign * 2j * np.pi * np.outer(x, x) / n_x) / math.sqrt(n_x)
    return along_y @ image @ along_x.T


def random_complex(*shape: int, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def gaussian(n: int, centre: float, width: float) -> Tensor:
    """A Gaussian sampled around index n // 2 + centre, of unit peak."""
    offset = torch.arange(n, dtype=torch.float64) - n // 2 - centre
    return torch.exp(-((offset / width) ** 2) / 2)


def gaussian_spectrum(n: int, centre: float, width: float) -> Tensor:
    """Its Fourier transform: sigma sqrt(2 pi / n) exp(-2 (pi sigma k / n)^2 - i 2 pi k c / n)."""
    k = (torch.arange(n, dtype=torch.float64) - n // 2) / n
    magnitude = width * math.sqrt(2 * math.pi / n) * torch.exp(-2 * (math.pi * width * k) ** 2)
    return torch.polar(magnitude, -2 * math.pi * k * centre)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape) == 2])
def test_both_directions_are_the_written_out_sums(shape: tuple[int, int]):
    image = random_complex(*shape)
    assert np.allclose(fft2c(image).numpy(), written_out(image.numpy(), -1), atol=1e-12)
    assert np.allclose(ifft2c(image).numpy(), written_out(image.numpy(), +1), atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (7, 6)])
def test_a_transform_without_shift_and_one_of_another_norm_are_not(shape: tuple[int, int]):
    image = random_complex(*shape)
    expected = torch.from_numpy(written_out(image.numpy(), -1))
    centred = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image)))
    assert torch.allclose(centred / math.sqrt(image.numel()), expected)
    for wrong in (
        torch.fft.fft2(image, norm="ortho"),
        torch.fft.fftshift(torch.fft.fft2(image, norm="ortho")),
        centred,
    ):
        assert not torch.allclose(wrong, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("shape", [(7, 6), (8, 7)])
def test_shifts_in_the_wrong_direction_differ_on_odd_sizes(shape: tuple[int, int]):
    image = random_complex(*shape)
    swapped = torch.fft.ifftshift(torch.fft.fft2(torch.fft.fftshift(image), norm="ortho"))
    assert not torch.allclose(swapped, fft2c(image), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5)])
@pytest.mark.parametrize("point", [(0, 0), (2, 1), (-1, -2)])
def test_a_point_becomes_a_plane_wave_that_turns_against_its_offset(
    shape: tuple[int, int], point: tuple[int, int]
):
    n_y, n_x = shape
    image = torch.zeros(shape, dtype=torch.complex128)
    image[n_y // 2 + point[0], n_x // 2 + point[1]] = 1
    k_y, k_x = torch.arange(n_y)[:, None] - n_y // 2, torch.arange(n_x) - n_x // 2
    phase = -2 * math.pi * (k_y * point[0] / n_y + k_x * point[1] / n_x).double()
    assert torch.allclose(fft2c(image), torch.polar(torch.ones_like(phase), phase) / math.sqrt(n_y * n_x))


@pytest.mark.parametrize("shape", [(64, 48), (63, 48), (63, 51)])
def test_a_shifted_gaussian_becomes_a_gaussian_with_linear_phase(shape: tuple[int, int]):
    (n_y, n_x), (y, x), (wide, narrow) = shape, (3.25, -4.5), (3.0, 2.5)
    image = torch.outer(gaussian(n_y, y, wide), gaussian(n_x, x, narrow)).to(torch.complex128)
    expected = torch.outer(gaussian_spectrum(n_y, y, wide), gaussian_spectrum(n_x, x, narrow))
    # Beyond the field of view and the band the Gaussians are below 1e-10, so the sum is the integral.
    assert torch.allclose(fft2c(image), expected, rtol=0, atol=1e-9 * float(expected.abs().max()))
    assert torch.allclose(ifft2c(expected), image, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pair_is_unitary_and_adjoint(shape: tuple[int, ...]):
    assert_unitary(fft2c, ifft2c, shape)
    assert_unitary(fft2c, ifft2c, shape, dtype=torch.complex128, tolerance=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (7, 6)])
def test_a_transform_is_not_its_own_adjoint(shape: tuple[int, int]):
    with pytest.raises(AssertionError, match="adjoint"):
        assert_adjoint(fft2c, fft2c, shape, shape)


def test_leading_axes_are_transformed_one_by_one():
    images = random_complex(3, 2, 7, 4)
    assert torch.allclose(fft2c(images)[2, 1], fft2c(images[2, 1]))


def test_single_precision_stays_single_and_is_exact_to_it():
    image = random_complex(216, 180, dtype=torch.complex64)
    assert fft2c(image).dtype == torch.complex64
    assert_round_trip(fft2c, ifft2c, image, tolerance=1e-6)
    assert_round_trip(
        lambda x: fft2c(x).to(torch.complex128),
        lambda k: ifft2c(k).to(torch.complex64),
        image,
        tolerance=1e-6,
    )


def test_gradients_pass():
    assert torch.autograd.gradcheck(fft2c, random_complex(3, 4).requires_grad_())
    assert torch.autograd.gradcheck(ifft2c, random_complex(3, 4).requires_grad_())


class Channels(nn.Module):
    """One of the transforms, real and imaginary parts as channels."""

    def __init__(self, inverse: bool) -> None:
        super().__init__()
        self.inverse = inverse

    def forward(self, x: Tensor) -> Tensor:
        values = channels_to_complex(x)
        return complex_to_channels(ifft2c(values) if self.inverse else fft2c(values))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(216, 180), (7, 6), (9, 15)])
def test_exported_to_onnx_it_stays_exact(shape: tuple[int, int], inverse: bool, tmp_path: Path):
    module, path = Channels(inverse).eval(), tmp_path / "fourier.onnx"
    x = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(module, (x,), path, input_names=["x"], dynamo=True, verbose=False)
    received = onnxruntime.InferenceSession(path).run(None, {"x": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(received), module(x), rtol=0, atol=1e-5)
