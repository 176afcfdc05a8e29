"""SegNetMRI: encoders shared by reconstruction and segmentation, masks that are merged."""

import warnings

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from kseg.networks.normalization import normalize_scan, restore_scale
from kseg.networks.segnetmri import CascadeSegmenter, SegNetMRI
from kseg.transforms.channels import complex_to_channels

BLOCKS = ["cascade", "autoencoder"]


@pytest.fixture
def make(seeded: None):
    """A small SegNetMRI in evaluation mode; corrections, which start at zero, are given random weights."""

    def network(untrained: bool = False, **changes: object) -> SegNetMRI:
        made = SegNetMRI(**{"n_blocks": 2, "n_filters": 4, **changes})  # type: ignore[arg-type]
        for name, parameter in made.named_parameters():
            if not untrained and "correction" in name and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return made.eval()

    return network


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("weight", [None, 0.7])
def test_the_image_is_that_of_the_reconstruction_alone(block, weight, make, scan, noise):
    network, x = make(block=block, consistency_weight=weight), scan(noise(2, 1, 7, 9))
    images, logits = network.unroll(x)
    assert len(images) == len(logits) == 3
    assert torch.equal(images[-1], images[-2])
    assert not torch.equal(images[0], images[1])
    expected = restore_scale(images[-1], normalize_scan(x)[3])
    torch.testing.assert_close(network.reconstruct(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_decoder_reads_the_features_that_correct_the_image(block, make, scan, noise):
    network, x = make(block=block), scan(noise(1, 1, 12, 10))
    images, logits = network.unroll(x)
    features = network.reconstruction.blocks[1].encode(images[0])
    torch.testing.assert_close(network.decoders[1](features)[:, :, :12, :10], logits[1])
    assert len(features) == (4 if block == "cascade" else 3)
    # Segmentation trains the shared encoder.
    logits[0].square().mean().backward()
    shared = network.reconstruction.blocks[0]
    first = shared.correction[0] if block == "cascade" else shared.encoder.levels[0][0]
    assert first.weight.grad.any()


def test_the_merged_mask_starts_as_the_mean_and_depends_on_each(make, scan, noise):
    network, x = make(n_blocks=3), scan(noise(2, 1, 12, 10))
    *of_blocks, merged = network.unroll(x)[1]
    torch.testing.assert_close(merged, torch.stack(of_blocks).mean(0))
    assert torch.equal(network(x), merged)
    weights = torch.eye(4).repeat(1, 3)[:, :, None, None]
    weights[:, 4:8] *= 2
    network.merge.weight.data = weights
    torch.testing.assert_close(network(x), of_blocks[0] + 2 * of_blocks[1] + of_blocks[2])


@pytest.mark.parametrize("block", BLOCKS)
def test_the_reconstruction_is_that_of_seranet(block, make, make_network, scan, noise):
    network, other = make(block=block), make_network(block=block)
    network.reconstruction.load_state_dict(other.reconstruction.state_dict())
    x = scan(noise(1, 1, 12, 10))
    torch.testing.assert_close(network.reconstruct(x), other.reconstruct(x))
    torch.testing.assert_close(network.unroll(x)[0][-1], other.unroll(x)[0][0])


@pytest.mark.parametrize("block", BLOCKS)
def test_both_losses_reach_every_parameter(block, make, scan, noise):
    network = make(untrained=True, block=block, consistency_weight=0.7).train()
    x, label = scan(noise(2, 1, 12, 10)), torch.arange(240).reshape(2, 12, 10) % 4
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    # The last convolution of a block starts at zero: those before it learn from the second step on.
    for _ in range(2):
        optimizer.zero_grad()
        images, logits = network.unroll(x)
        (nn.functional.cross_entropy(logits[-1], label) + images[-1].square().mean()).backward()
        missing = [
            name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()
        ]
        optimizer.step()
    assert missing == []


@pytest.mark.parametrize("block", BLOCKS)
def test_scale_and_global_phase_change_nothing(block, make, scan, noise):
    network, image = make(block=block), noise(1, 1, 12, 10)
    torch.testing.assert_close(network(scan(3e-5j * image)), network(scan(image)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("block", BLOCKS)
def test_scripted_is_eager_at_any_size(block, make, scan, noise, maps):
    network = make(block=block)
    scripted = torch.jit.script(network)
    for shape in ((12, 10), (7, 9)):
        x = scan(noise(2, 1, *shape))
        torch.testing.assert_close(scripted(x), network(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(scripted.reconstruct(x), network.reconstruct(x), rtol=1e-5, atol=1e-5)
    network, channels = make(block=block), complex_to_channels(maps)
    x = scan(noise(1, 1, 12, 10), maps)
    assert network(x, channels).shape == (1, 4, 12, 10)


@pytest.mark.parametrize("block", BLOCKS)
def test_onnx_is_eager(block, make, scan, noise, tmp_path):
    network, x = make(block=block), scan(noise(2, 1, 12, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(network, (x,), tmp_path / "network.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    received = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    expected = network(x).detach()
    torch.testing.assert_close(received, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_the_segmenter_of_a_cascade_sees_beyond_its_convolutions(seeded: None):
    segmenter = CascadeSegmenter(8, 3, (4, 8, 16)).eval()
    features = [torch.zeros(1, 4, 41, 3, requires_grad=True) for _ in range(2)]
    segmenter([values + 1 for values in features])[0, :, 20, 1].sum().backward()
    touched: Tensor = features[0].grad.abs().sum((0, 1, 3)).nonzero()
    assert touched.max() - touched.min() > 20


@pytest.mark.parametrize(
    ("changes", "received"),
    [({"n_blocks": 0}, "0, 4"), ({"n_classes": 1}, "5, 1")],
)
def test_counts_below_their_minimum_are_refused(changes, received):
    expected = "SegNetMRI: expected blocks >= 1, classes >= 2, received "
    with pytest.raises(ValueError, match=expected + received):
        SegNetMRI(**changes)


def test_another_kind_of_block_is_refused():
    with pytest.raises(ValueError, match="expected cascade or autoencoder, received 'unet'"):
        SegNetMRI(1, "unet")
