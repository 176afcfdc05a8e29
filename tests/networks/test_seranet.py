"""What the paper says of the network, and what the network promises besides."""

import pytest
import torch
from torch import Tensor, nn

from kseg.networks.attention import class_attention
from kseg.networks.encoder_decoder import NORMALIZATIONS
from kseg.networks.normalization import normalize_scan
from kseg.networks.segnetmri import SegNetMRI
from kseg.networks.seranet import SERANet
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import fft2c

BLOCKS = ["cascade", "autoencoder"]


class Recorder:
    """What goes in and out of modules, in order."""

    def __init__(self, *modules: nn.Module) -> None:
        self.calls: list[tuple[nn.Module, tuple[Tensor, ...], Tensor]] = []
        for module in modules:
            module.register_forward_hook(lambda *call: self.calls.append(call))


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_reads_what_data_consistency_made_of_the_block_before(block, make_network, scan, noise):
    network, x = make_network(block=block, n_blocks=3), scan(noise(2, 1, 12, 10))
    reconstruction = network.reconstruction
    blocks, layers = Recorder(*reconstruction.blocks), Recorder(*reconstruction.consistency)
    images, _ = network.unroll(x)
    assert [call[0] for call in blocks.calls] == list(reconstruction.blocks)
    assert len({id(module) for module in reconstruction.blocks}) == 3
    zero_filled = normalize_scan(x)[2]
    corrected = [zero_filled, *(call[2] for call in layers.calls)]
    for (_, inputs, output), before, layer in zip(blocks.calls, corrected, layers.calls, strict=False):
        assert all(torch.equal(value, before) for value in inputs)
        assert torch.equal(layer[1][0], output)
        assert not torch.allclose(output, before, atol=1e-3)
    assert torch.equal(images[0], corrected[-1])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("make", [SERANet, SegNetMRI])
def test_with_instance_normalisation_training_does_what_inference_does(make, block, scan, noise, seeded):
    network, x = make(n_blocks=2, block=block, n_filters=4, norm="instance"), scan(noise(2, 1, 32, 30))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(network.train()(x), network.eval()(x))
    torch.testing.assert_close(network(x)[1:], network(x[1:]))
    batch = make(n_blocks=2, block=block, n_filters=4)
    assert not torch.allclose(batch.train()(x), batch.eval()(x), atol=1e-2)


@pytest.mark.parametrize("block", BLOCKS)
def test_attention_splits_the_image_by_probabilities_that_sum_to_one(block, make_network, scan, noise):
    network = make_network(block=block, n_classes=5)
    attention = Recorder(network.attention.block)
    images, logits = network.unroll(scan(noise(2, 1, 12, 10)))
    assert len(attention.calls) == network.n_recurrences == 2
    for (_, (features, image), _), before, scores in zip(attention.calls, images, logits, strict=False):
        assert features.shape == (2, 2 * 5, 12, 10)
        assert torch.equal(image, before)
        probabilities = scores.softmax(1)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 12, 10))
        torch.testing.assert_close(features, class_attention(before, probabilities))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_segmenter_sees_images_that_are_consistent_with_the_data(block, make_network, scan, noise):
    network, x = make_network(block=block), scan(noise(2, 1, 12, 10))
    segmenter = Recorder(network.segmenter)
    images, _ = network.unroll(x)
    kspace, mask = normalize_scan(x)[:2]
    assert [call[0] for call in segmenter.calls] == 3 * [network.segmenter]
    for (_, (seen, *_), _), image in zip(segmenter.calls, images, strict=True):
        assert torch.equal(seen, image)
        assert not torch.allclose(seen * mask, kspace, atol=1e-2)
        of_image = complex_to_channels(fft2c(channels_to_complex(seen)))
        torch.testing.assert_close(of_image * mask, kspace, rtol=1e-5, atol=1e-5)


def test_recurrences_share_all_weights_and_the_joint_model_has_no_attention(make_network):
    counts = {
        n: sum(value.numel() for value in make_network(n_recurrences=n).state_dict().values())
        for n in range(4)
    }
    assert counts[1] == counts[2] == counts[3] > counts[0]
    joint, recurrent = make_network(n_recurrences=0), make_network(n_recurrences=1)
    assert joint.attention is None
    without = {name for name in recurrent.state_dict() if not name.startswith("attention.")}
    assert joint.state_dict().keys() == without


def test_the_memory_is_carried_from_recurrence_to_recurrence(make_network, scan, noise, monkeypatch):
    network, x = make_network(), scan(noise(1, 1, 12, 10))
    memory = Recorder(network.segmenter.memory)
    expected = network(x)
    states = [call[1][1] for call in memory.calls]
    assert states[0] is None
    for state, (_, _, before) in zip(states[1:], memory.calls, strict=False):
        assert all(torch.equal(part, kept) for part, kept in zip(state, before, strict=True))
        assert all(part.abs().min() > 0 for part in state)
    forward = network.segmenter.forward
    monkeypatch.setattr(network.segmenter, "forward", lambda image, state=None: forward(image))
    assert not torch.allclose(network(x), expected, atol=1e-4)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("weight", [None, 0.7])
def test_untrained_blocks_leave_the_zero_filled_image(block, weight, make_network, scan, noise):
    network = make_network(untrained=True, block=block, consistency_weight=weight)
    x = scan(noise(2, 1, 12, 10))
    zero_filled = normalize_scan(x)[2]
    images, all_logits = network.unroll(x)
    for image in images:
        torch.testing.assert_close(image, zero_filled, rtol=1e-4, atol=1e-5)
    state = None
    for logits in all_logits:
        expected, state = network.segmenter(zero_filled, state)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_logits_are_returned_raw(make_network, scan, noise):
    network, x = make_network(), scan(noise(2, 1, 12, 10))
    logits = network(x)
    output = network.segmenter.decoder.output
    with torch.no_grad():
        output.weight *= 100
        output.bias.copy_(100 * output.bias + 7)
    scaled = make_network(n_recurrences=0)
    assert logits.dtype == torch.float32
    assert network(x).abs().max() > 10
    assert not torch.allclose(scaled(x).sum(1), torch.ones(2, 12, 10), atol=1e-2)
    assert torch.equal(network(x), network.unroll(x)[1][-1])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shape", [(12, 10), (7, 9), (5, 1)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", NORMALIZATIONS)
def test_any_size_and_an_empty_slice_give_finite_logits_of_that_size(
    block, shape, training, norm, make_network, scan, noise
):
    network = make_network(block=block, norm=norm).train(training)
    image = noise(2, 1, *shape)
    image[1] = 0
    logits = network(scan(image))
    assert logits.shape == (2, 4, *shape)
    assert logits.isfinite().all()
    logits.square().mean().backward()
    assert all(value.grad.isfinite().all() for value in network.parameters() if value.grad is not None)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("weight", [None, 0.7])
def test_the_gradient_reaches_every_parameter(block, weight, make_network, scan, noise):
    network = make_network(untrained=True, block=block, consistency_weight=weight).train()
    x, label = scan(noise(2, 1, 12, 10)), torch.arange(240).reshape(2, 12, 10) % 4
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    # The last convolution of a block starts at zero: those before it learn from the second step on.
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), label).backward()
        missing = [
            name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()
        ]
        optimizer.step()
    assert missing == []


@pytest.mark.parametrize("block", BLOCKS)
def test_one_sample_can_be_learned_by_heart(block, make_network, scan, noise):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 18), indexing="ij")
    radius = torch.sqrt(y**2 + (1.2 * x) ** 2)
    label = (radius < 0.9).long() + (radius < 0.7) + (radius < 0.4 + 0.2 * y)
    signal = torch.tensor([0.0, 1.0, 0.6, 0.4])[label] * torch.exp(1j * (y + 0.5 * x))
    sample = scan(signal[None, None] + 0.02 * noise(1, 1, 20, 18))
    network = make_network(untrained=True, block=block, unet_channels=(8, 16)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(sample), label[None])
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    assert loss < 0.01


def test_what_lies_outside_the_mask_is_ignored(make_network, scan, noise):
    network, x = make_network(), scan(noise(1, 1, 12, 10))
    dirty = x.clone()
    dirty[:, :2] += 5 * (1 - x[:, 2:])
    assert torch.equal(network(dirty), network(x))


def test_the_zero_filling_model_is_the_segmenter_alone(make_network, scan, noise):
    network, x = make_network(n_blocks=0, n_recurrences=0), scan(noise(1, 1, 12, 10))
    torch.testing.assert_close(network(x), network.segmenter(normalize_scan(x)[2])[0])
    assert {name.split(".")[0] for name in network.state_dict()} == {"segmenter"}


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"n_blocks": -1}, "-1, 3, 4, 0"),
        ({"n_recurrences": -1}, "5, -1, 4, 0"),
        ({"n_classes": 1}, "5, 3, 1, 0"),
        ({"n_neighbours": -1}, "5, 3, 4, -1"),
    ],
)
def test_counts_below_their_minimum_are_refused(changes, received):
    expected = "SERANet: expected blocks >= 0, recurrences >= 0, classes >= 2, neighbours >= 0"
    with pytest.raises(ValueError, match=f"{expected}, received {received}"):
        SERANet(**changes)
