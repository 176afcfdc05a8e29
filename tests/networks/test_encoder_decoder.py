import pytest
import torch
from torch import nn

from kseg.networks.encoder_decoder import Decoder, Encoder, InstanceNorm, double_convolution, pad_to_multiple


def test_a_double_convolution_has_no_bias_that_normalisation_would_undo(seeded: None):
    layers = list(double_convolution(3, 5))
    assert [type(layer) for layer in layers] == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [(layer.in_channels, layer.out_channels, layer.bias) for layer in layers[::3]] == [
        (3, 5, None),
        (5, 5, None),
    ]


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3, 3)])
def test_instance_normalisation_sees_each_sample_alone(kernel: tuple[int, ...], seeded: None):
    batch = torch.randn(2, 3, *(4 for _ in kernel)) * torch.tensor([1.0, 5.0]).reshape(
        2, *(1 for _ in (3, *kernel))
    )
    alone = double_convolution(3, 5, kernel, norm="instance")
    together = double_convolution(3, 5, kernel, norm="batch")
    for layers, same in ((alone, True), (together, False)):
        each = torch.cat([layers(batch[:1]), layers(batch[1:])])
        assert torch.allclose(layers(batch), each, atol=1e-5) == same
        assert torch.allclose(layers(batch), layers.eval()(batch), atol=1e-5) == same
    assert sum(value.numel() for value in alone.parameters()) == sum(
        value.numel() for value in together.parameters()
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 1, 1), (1, 3, 1, 1, 1), (2, 3, 1, 1, 1)])
def test_a_single_value_is_its_own_mean(shape: tuple[int, ...], training: bool, seeded: None):
    norm = InstanceNorm(3).train(training)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(shape, requires_grad=True)
    normalised = norm(x)
    torch.testing.assert_close(
        normalised, norm.bias.reshape(1, 3, *shape[2:]).expand(shape), rtol=0, atol=1e-3
    )
    normalised.sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros(shape), rtol=0, atol=1e-3)


@pytest.mark.parametrize("n_samples", [1, 2])
@pytest.mark.parametrize(
    ("torchs", "shape", "memory"),
    [
        (nn.InstanceNorm2d, (3, 6, 5), torch.channels_last),
        (nn.InstanceNorm3d, (3, 4, 6, 5), torch.channels_last_3d),
    ],
)
def test_instance_normalisation_is_torchs(n_samples: int, torchs, shape, memory, seeded: None):
    ours, theirs = InstanceNorm(3), torchs(3, affine=True)
    for layer in (ours, theirs):
        layer.weight.data, layer.bias.data = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([0.0, 1.0, -1.0])
    x = (2 + 3 * torch.randn(n_samples, *shape)).to(memory_format=memory)
    upstream = torch.randn(n_samples, *shape)
    for mode in (True, False):
        gradients = []
        for layer in (ours.train(mode), theirs.train(mode)):
            inputs = x.clone().requires_grad_()
            y = layer(inputs)
            gradients.append((y, *torch.autograd.grad(y, [inputs, layer.weight, layer.bias], upstream)))
        for received, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(received, expected, rtol=1e-4, atol=1e-4)
    if n_samples == 1:
        assert ours.train()(x).is_contiguous(memory_format=memory)


def test_an_unknown_normalisation_is_told(seeded: None):
    with pytest.raises(ValueError, match="normalisation: expected one of batch, instance, received 'group'"):
        double_convolution(3, 5, norm="group")


def test_levels_halve_and_the_decoder_comes_back(seeded: None):
    channels = (3, 4, 6)
    x = torch.randn(2, 2, 8, 12)
    features = Encoder(2, channels)(x)
    assert [tuple(level.shape) for level in features] == [(2, 3, 8, 12), (2, 4, 4, 6), (2, 6, 2, 3)]
    assert Decoder(channels, 5)(features).shape == (2, 5, 8, 12)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_reaches_the_output(level: int, seeded: None):
    channels = (3, 4, 6)
    decoder = Decoder(channels, 5).eval()
    features = [torch.randn(1, n, 8 // 2**index, 12 // 2**index) for index, n in enumerate(channels)]
    without = [*features]
    without[level] = torch.zeros_like(without[level])
    assert not torch.allclose(decoder(features), decoder(without), atol=1e-5)


def test_one_level_is_a_double_convolution(seeded: None):
    encoder, decoder = Encoder(2, (3,)).eval(), Decoder((3,), 5).eval()
    x = torch.randn(1, 2, 5, 7)
    torch.testing.assert_close(decoder(encoder(x)), decoder.output(encoder.levels[0](x)))


@pytest.mark.parametrize(("shape", "padded"), [((8, 8), (8, 8)), ((7, 9), (8, 12)), ((1, 5), (4, 8))])
def test_padding_appends_zeros(shape: tuple[int, int], padded: tuple[int, int]):
    x = torch.ones(2, 3, *shape)
    result = pad_to_multiple(x, 4)
    assert tuple(result.shape[2:]) == padded
    assert torch.equal(result[:, :, : shape[0], : shape[1]], x)
    assert result.sum() == x.sum()


def test_volumes_take_a_kernel_and_a_stride_per_level(seeded: None):
    channels, kernels, strides = (3, 4, 6), [(1, 3, 3), (3, 3, 3), (3, 3, 3)], [(1, 2, 2), (2, 2, 2)]
    encoder, decoder = Encoder(2, channels, kernels, strides), Decoder(channels, 5, kernels, strides)
    features = encoder(torch.randn(2, 2, 4, 8, 12))
    assert [tuple(level.shape[1:]) for level in features] == [(3, 4, 8, 12), (4, 4, 4, 6), (6, 2, 2, 3)]
    assert decoder(features).shape == (2, 5, 4, 8, 12)
    assert [level[0].kernel_size for level in encoder.levels] == kernels
    assert [level[3].kernel_size for level in decoder.levels] == kernels[-2::-1]
    assert [up.kernel_size for up in decoder.up] == strides[::-1]


def test_slices_are_the_default(seeded: None):
    names = [name for name, _ in Encoder(2, (3, 4)).named_parameters()]
    assert names[:3] == ["levels.0.0.weight", "levels.0.1.weight", "levels.0.1.bias"]
    assert all(name.startswith("levels") for name in names)
    x, encoder = torch.randn(1, 2, 5, 7), Encoder(2, (3, 4)).eval()
    expected = encoder.levels[1](nn.functional.max_pool2d(encoder.levels[0](x), 2))
    assert torch.equal(encoder(x)[1], expected)
