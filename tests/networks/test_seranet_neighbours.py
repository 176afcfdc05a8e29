"""SERANet that sees the slices on either side of its own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kseg.networks.normalization import neighbour_images, normalize_scan
from kseg.networks.passes import ReconstructionAndLogits, ReconstructionOf
from kseg.networks.seranet import SERANet
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.coils import combine
from kseg.transforms.fourier import fft2c, ifft2c

BLOCKS = ["cascade", "autoencoder"]
Make = Callable[..., SERANet]


def with_neighbours(scan: Callable[..., Tensor], *images: Tensor, maps: Tensor | None = None) -> Tensor:
    """Network input of the first image, with the others as its neighbours."""
    own, *others = (scan(image, maps) for image in images)
    return torch.cat([own, *(other[:, :-1] for other in others)], dim=1)


def widened(plain: SERANet, wide: SERANet, *, zeroed: bool = True) -> SERANet:
    """Give a network with neighbours the weights of the plain one, and none or some to what the neighbours add."""
    state = wide.state_dict()
    for name, value in plain.state_dict().items():
        if state[name].shape == value.shape:
            state[name] = value
        else:
            state[name][:, : value.shape[1]] = value
            if zeroed:
                state[name][:, value.shape[1] :] = 0
    wide.load_state_dict(state)
    return wide


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n_recurrences", [0, 2])
def test_without_weight_on_its_neighbours_it_is_the_plain_network(
    block, n_recurrences, make_network, scan, noise
):
    settings = {"block": block, "n_recurrences": n_recurrences}
    plain, wide = make_network(**settings), make_network(**settings, n_neighbours=1)
    own, before, after = (noise(2, 1, 12, 10, seed=seed) for seed in range(3))
    x, expected = with_neighbours(scan, own, before, after), plain(scan(own))
    torch.testing.assert_close(widened(plain, wide)(x), expected)
    # The wrong twin: with weights on them it is another one.
    assert not torch.allclose(
        widened(plain, make_network(**settings, n_neighbours=1), zeroed=False)(x), expected
    )


def test_each_neighbour_counts_by_its_place(make_network, scan, noise):
    network = make_network(n_neighbours=1)
    own, before, after = (noise(1, 1, 12, 10, seed=seed) for seed in range(3))
    logits = network(with_neighbours(scan, own, before, after))
    for others in ((after, before), (before, own), (own, after)):
        assert not torch.allclose(network(with_neighbours(scan, own, *others)), logits, atol=1e-3)


def test_the_images_are_consistent_with_the_slice_and_not_with_its_neighbours(make_network, scan, noise):
    network, images = make_network(n_neighbours=1), [noise(2, 1, 12, 10, seed=seed) for seed in range(3)]
    x = with_neighbours(scan, *images)
    kspace, mask = normalize_scan(x[:, :3])[:2]
    for image in network.unroll(x)[0]:
        measured = complex_to_channels(fft2c(channels_to_complex(image)))
        torch.testing.assert_close(measured * mask, kspace, rtol=1e-5, atol=1e-5)
    # The first image knows the slice alone, in either unit.
    torch.testing.assert_close(
        network.reconstruct(x), network.reconstruct(with_neighbours(scan, *images[:1] * 3))
    )
    torch.testing.assert_close(ReconstructionOf(network)(x), network.reconstruct(x))
    joint = make_network(n_neighbours=1, n_recurrences=0)
    torch.testing.assert_close(ReconstructionAndLogits(joint)(x)[0], joint.reconstruct(x))


def test_neighbours_have_the_scale_and_the_phase_of_the_slice(scan, noise, maps):
    images = [noise(2, 1, 12, 10, seed=seed) for seed in range(3)]
    for own_maps in (None, maps):
        n_coils = 1 if own_maps is None else own_maps.shape[1]
        channels = None if own_maps is None else complex_to_channels(own_maps).expand(2, -1, -1, -1)
        x = with_neighbours(scan, *images, maps=own_maps)
        factor = normalize_scan(x[:, : 2 * n_coils + 1], channels)[3]
        received = neighbour_images(x[:, 2 * n_coils + 1 :], n_coils, factor, channels)
        assert received.shape == (2, 4, 12, 10)
        for number, image in enumerate(images[1:]):
            zero_filled = ifft2c(channels_to_complex(scan(image, own_maps)[:, :-1]))
            if own_maps is not None:
                zero_filled = combine(zero_filled, own_maps)[:, None]
            pair = received[:, 2 * number : 2 * number + 2]
            torch.testing.assert_close(channels_to_complex(pair), zero_filled * factor)


def test_the_result_depends_neither_on_scale_nor_on_phase(make_network, scan, noise):
    network, images = make_network(n_neighbours=2), [noise(1, 1, 12, 10, seed=seed) for seed in range(5)]
    one, other = (
        network(with_neighbours(scan, *(factor * image for image in images))) for factor in (1, 40j)
    )
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
    # The wrong twin: scaled alone, the neighbours are others.
    brighter = with_neighbours(scan, images[0], *(2 * image for image in images[1:]))
    assert not torch.allclose(network(brighter), one, atol=1e-3)


def test_an_empty_slice_between_full_ones_stays_finite(make_network, scan, noise):
    empty, full = torch.zeros(1, 1, 12, 10, dtype=torch.complex64), noise(1, 1, 12, 10)
    assert make_network(n_neighbours=1)(with_neighbours(scan, empty, full, full)).isfinite().all()


def test_gradients_reach_what_reads_the_neighbours(make_network, scan, noise):
    network = make_network(n_neighbours=1)
    x = with_neighbours(scan, *(noise(1, 1, 12, 10, seed=seed) for seed in range(3)))
    network(x).square().sum().backward()
    first = network.segmenter.encoder.levels[0][0].weight.grad
    attention = network.attention.block.correction[0].weight.grad
    assert first[:, 2:].abs().sum() > 0
    assert attention[:, 8:].abs().sum() > 0


def test_inputs_without_their_neighbours_are_refused(make_network, scan, noise):
    with pytest.raises(
        ValueError,
        match=r"network: expected \(batch, 6 coil \+ 1, y, x\) with 1 neighbours on each side, received \[1, 3,",
    ):
        make_network(n_neighbours=1)(scan(noise(1, 1, 12, 10)))
    # To a network without neighbours they are further coils.
    with pytest.raises(ValueError, match=r"network: expected sensitivities of 3 coils, received none"):
        make_network()(with_neighbours(scan, *3 * [noise(1, 1, 12, 10)]))
