import torch

from kseg.networks.normalization import normalize_scan, restore_scale
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import ifft2c


def test_a_scan_is_normalised_to_unit_power_and_zero_phase(scan, noise):
    x = scan(3e-5 * (noise(2, 1, 12, 10) + 0.5j))
    kspace, mask, image, _ = normalize_scan(x)
    complex_image = channels_to_complex(image)
    torch.testing.assert_close(complex_image.abs().square().mean((1, 2, 3)), torch.ones(2))
    direction = (complex_image * complex_image.abs()).sum((1, 2, 3))
    torch.testing.assert_close(direction.angle(), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(ifft2c(channels_to_complex(kspace)), complex_image, rtol=1e-5, atol=1e-6)
    assert torch.equal(mask, x[:, -1:])


def test_an_empty_scan_stays_empty(scan):
    kspace, _, image, _ = normalize_scan(scan(torch.zeros(1, 1, 6, 5, dtype=torch.complex64)))
    assert not kspace.any()
    assert not image.any()


def test_scale_and_phase_of_the_scan_come_back(scan, noise, maps):
    image = noise(2, 1, 12, 10) * torch.tensor([3e-5j, 20 - 7j])[:, None, None, None]
    _, _, normalised, factor = normalize_scan(scan(image, full=True))
    assert factor.shape == (2, 1, 1, 1)
    torch.testing.assert_close(restore_scale(normalised, factor), complex_to_channels(image))
    channels = complex_to_channels(maps.expand(2, -1, -1, -1))
    _, _, normalised, factor = normalize_scan(scan(image, maps, full=True), channels)
    torch.testing.assert_close(restore_scale(normalised, factor), complex_to_channels(image))


def test_an_empty_scan_is_restored_as_zero(scan):
    factor = normalize_scan(scan(torch.zeros(1, 1, 6, 5, dtype=torch.complex64)))[3]
    assert torch.equal(restore_scale(torch.ones(1, 2, 6, 5), factor), torch.zeros(1, 2, 6, 5))
