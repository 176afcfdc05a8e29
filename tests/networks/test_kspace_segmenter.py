"""What every network promises that segments k-space."""

import pytest
import torch

from kseg.networks.kspace_segmenter import KSpaceSegmenter, UnrolledReconstruction
from kseg.networks.normalization import normalize_scan
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import fft2c

BLOCKS = ["cascade", "autoencoder"]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_reconstruction_has_the_unit_and_the_samples_of_its_scan(block, make_network, scan, noise):
    network, x = make_network(block=block), scan((0.02 - 0.05j) * noise(2, 1, 12, 10))
    image = network.reconstruct(x)
    of_image = complex_to_channels(fft2c(channels_to_complex(image)))
    torch.testing.assert_close(of_image * x[:, 2:], x[:, :2], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(of_image, x[:, :2], atol=1e-4)
    # Normalised, it is the image of the first pass.
    factor = normalize_scan(x)[3]
    normalised = complex_to_channels(channels_to_complex(image) * factor)
    torch.testing.assert_close(normalised, network.unroll(x)[0][0], rtol=1e-4, atol=1e-5)


def test_a_reconstruction_follows_scale_and_phase_of_the_scan(make_network, scan, noise):
    network, image = make_network(), noise(1, 1, 12, 10)
    one, other = (network.reconstruct(scan(factor * image)) for factor in (1.0, 4e3j))
    expected = complex_to_channels(4e3j * channels_to_complex(one))
    torch.testing.assert_close(other, expected, rtol=1e-3, atol=1e-1)


def test_without_blocks_the_reconstruction_is_the_zero_filled_image(make_network, scan, noise):
    image = noise(1, 1, 12, 10)
    received = make_network(n_blocks=0, n_recurrences=0).reconstruct(scan(image, full=True))
    torch.testing.assert_close(received, complex_to_channels(image))


def test_what_a_network_does_not_define_is_not_made_up(scan, noise):
    network = KSpaceSegmenter(UnrolledReconstruction(0, "cascade", 4, None))
    with pytest.raises(NotImplementedError):
        network(scan(noise(1, 1, 12, 10)))


def test_inputs_that_do_not_fit_are_refused(make_network, scan, noise, maps):
    network, channels = make_network(), complex_to_channels(maps)
    x = scan(noise(1, 1, 12, 10))
    for wrong in (x[0], x[:, :2], x[:, :1], x.repeat(1, 2, 1, 1)):
        with pytest.raises(ValueError, match=r"network: expected \(batch, 2 coil \+ 1, y, x\), received \["):
            network(wrong)
    with pytest.raises(ValueError, match="network: expected sensitivities of 8 coils, received none"):
        network(scan(noise(1, 1, 12, 10), maps))
    with pytest.raises(
        ValueError, match=r"network: expected sensitivities \[1, 2, 12, 10\], received \[1, 16, 12, 10\]"
    ):
        network(x, channels)
