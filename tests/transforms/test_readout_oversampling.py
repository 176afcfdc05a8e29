import pytest
import torch
from torch import Tensor

from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.readout_oversampling import kept_voxels, remove_oversampling, thin_mask
from kseg.transforms.testing import assert_adjoint


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("n_samples", "n_y"), [(16, 8), (15, 7), (16, 7), (15, 8), (20, 14)])
def test_the_image_is_the_middle_of_what_it_was(n_samples: int, n_y: int):
    image = noise(2, 3, n_samples, 6)
    kept = ifft2c(remove_oversampling(fft2c(image), n_y))
    torch.testing.assert_close(kept, image[:, :, kept_voxels(n_samples, n_y)])
    # The origin stays the origin.
    assert kept_voxels(n_samples, n_y).start + n_y // 2 == n_samples // 2
    # The wrong twin: samples in the middle of k-space show everything, blurred.
    middle = fft2c(image)[:, :, kept_voxels(n_samples, n_y)]
    assert not torch.allclose(ifft2c(middle), kept, atol=0.1)


def test_it_is_the_adjoint_of_padding_with_zeros():
    def pad(kspace: Tensor) -> Tensor:
        wide = torch.zeros(1, 2, 12, 5, dtype=torch.complex64)
        wide[:, :, kept_voxels(12, 6)] = ifft2c(kspace)
        return fft2c(wide)

    assert_adjoint(lambda k: remove_oversampling(k, 6), pad, (1, 2, 12, 5), (1, 2, 6, 5))


def test_noise_keeps_its_level_and_empty_lines_stay_empty():
    kspace = noise(1, 2, 400, 60) * (torch.arange(60) % 3 == 0)
    kept = remove_oversampling(kspace, 200)
    assert torch.equal((kept != 0).any(2), (kspace != 0).any(2))
    assert kept[..., ::3].abs().square().mean().sqrt() == pytest.approx(1, abs=0.02)


def test_nothing_to_remove():
    kspace = noise(1, 1, 6, 4)
    assert remove_oversampling(kspace, 6) is kspace


@pytest.mark.parametrize("n_y", [0, 7])
def test_more_than_there_is(n_y: int):
    with pytest.raises(ValueError, match=rf"^readout: expected 1\.\.6 voxels to keep, received {n_y}$"):
        remove_oversampling(noise(1, 1, 6, 4), n_y)


def test_a_readout_that_begins_late_is_known_from_there_on():
    sampled = torch.zeros(1, 64, 3, dtype=torch.bool)
    sampled[:, 20:, :2] = True
    thin = thin_mask(sampled, 32)
    assert thin.shape == (1, 32, 3)
    assert thin[0, :, 0].tolist() == [False] * 10 + [True] * 22
    assert not thin[..., 2].any()
    # What is known is what the complete readout gives, save the samples next to the gap.
    image = torch.zeros(1, 1, 64, 3, dtype=torch.complex64)
    image[:, :, 20:44] = torch.linspace(0, 1, 24)[:, None]
    whole, late = (remove_oversampling(fft2c(image) * each, 32) for each in (1, sampled[:, None]))
    known = (late - whole)[0, 0, :, :2].abs().amax(1) / whole.abs().amax()
    assert known[10:].max() < 0.1
    assert known[14:].max() < 0.02
