import torch

from kseg.networks.passes import EveryPass, ReconstructionAndLogits, ReconstructionOf
from kseg.networks.segnetmri import SegNetMRI
from kseg.transforms.channels import channels_to_complex, complex_to_channels


def test_every_pass_gives_the_logits_from_first_to_last(make_network, scan, noise):
    network, x = make_network(n_recurrences=2), scan(noise(2, 1, 12, 10))
    passes = EveryPass(network)(x)
    assert len(passes) == 3
    assert all(torch.equal(*pair) for pair in zip(passes, network.unroll(x)[1], strict=True))
    assert torch.equal(passes[-1], network(x))
    assert not torch.allclose(passes[0], passes[-1], atol=1e-4)


def test_the_reconstruction_needs_no_segmenter(make_network, scan, noise):
    network, x = make_network(), scan(noise(1, 1, 12, 10))
    expected = network.reconstruct(x)
    network.segmenter = None
    assert torch.equal(ReconstructionOf(network)(x), expected)


def test_image_and_logits_are_those_of_the_last_pass(make_network, scan, noise):
    network, x = make_network(), scan((2 - 30j) * noise(1, 1, 12, 10))
    image, logits = ReconstructionAndLogits(network)(x)
    images, all_logits = network.unroll(x)
    assert torch.equal(logits, all_logits[-1])
    # All passes keep the samples, so with the lines that were measured they agree, in the unit of the scan.
    ratio = channels_to_complex(image) / channels_to_complex(images[-1])
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)
    segnet = SegNetMRI(2, n_filters=4).eval()
    image, logits = ReconstructionAndLogits(segnet)(x)
    torch.testing.assert_close(image, segnet.reconstruct(x))
    assert torch.equal(logits, segnet(x))


def test_untrained_it_gives_the_image_back(make_network, scan, noise):
    image = 1e-3j * noise(1, 1, 12, 10)
    x = scan(image, full=True)
    received, _ = ReconstructionAndLogits(make_network(untrained=True))(x)
    torch.testing.assert_close(received, complex_to_channels(image))


def test_their_weights_are_those_of_the_network(make_network):
    network = make_network()
    for wrapper in (EveryPass, ReconstructionOf, ReconstructionAndLogits):
        assert {id(value) for value in wrapper(network).parameters()} == {
            id(value) for value in network.parameters()
        }
