"""Changes of the input that may not change the result, and changes of the execution that may not either."""

import cmath

import pytest
import torch

from kseg.transforms.channels import complex_to_channels

BLOCKS = ["cascade", "autoencoder"]


def agree(received, expected, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(received, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-2, 1e4, 1e12])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_scale_does_not_matter(block, scale, make_network, scan, noise):
    network, image = make_network(block=block), noise(2, 1, 12, 10) + 0.5
    agree(network(scan(scale * image)), network(scan(image)))


@pytest.mark.parametrize("angle", [0.3, 2.0, -3.0])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_global_phase_does_not_matter_and_a_phase_that_varies_does(
    block, angle, make_network, scan, noise
):
    network, image = make_network(block=block), noise(2, 1, 12, 10) + 0.5
    expected = network(scan(image))
    agree(network(scan(cmath.exp(1j * angle) * image)), expected)
    varying = torch.exp(1j * angle * torch.linspace(-1, 1, 10))
    assert (network(scan(varying * image)) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("block", BLOCKS)
def test_slices_of_a_batch_do_not_know_of_each_other(block, make_network, scan, noise):
    network, image = make_network(block=block), noise(3, 1, 12, 10)
    image[1] *= 1000
    together = network(scan(image))
    for index in range(3):
        agree(together[index : index + 1], network(scan(image[index : index + 1])), 1e-5)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("weight", [None, 0.7])
def test_eight_coils_of_full_data_are_one_coil_of_their_combination(
    block, weight, make_network, scan, noise, maps
):
    network = make_network(block=block, consistency_weight=weight)
    image = noise(1, 1, 12, 10)
    received = network(scan(image, maps, full=True), complex_to_channels(maps))
    agree(received, network(scan(image, full=True)))


def test_the_sensitivities_enter(make_network, scan, noise, maps):
    network, x = make_network(), scan(noise(1, 1, 12, 10), maps)
    expected = network(x, complex_to_channels(maps))
    assert expected.isfinite().all()
    assert not torch.allclose(network(x, complex_to_channels(maps.conj())), expected, atol=1e-2)


@pytest.mark.parametrize("block", BLOCKS)
def test_channels_last_is_a_matter_of_memory_alone(block, make_network, scan, noise):
    network, x = make_network(block=block), scan(noise(2, 1, 12, 10))
    expected = network(x)
    agree(
        network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last)), expected, 1e-5
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_mixed_precision_is_close(block, make_network, scan, noise):
    network, x = make_network(block=block), scan(noise(2, 1, 12, 10))
    expected = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        received = network(x)
    assert received.dtype == torch.float32
    agree(received, expected, 0.05)
    assert not torch.equal(received, expected)
