import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kseg.transforms.channels import (
    channels_to_complex,
    complex_to_channels,
    network_input,
    split_network_input,
)

COILS_2 = torch.tensor([[[1 + 2j, 3 + 4j]], [[5 + 6j, 7 + 8j]]])[None]


def random_complex(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


class Door(nn.Module):
    """The smallest network: enters the complex domain, multiplies by i, leaves as channels."""

    def forward(self, x: Tensor) -> Tensor:
        kspace, mask = split_network_input(x)
        return torch.cat((complex_to_channels(kspace * 1j), mask), dim=1)


class Input(nn.Module):
    def forward(self, channels: Tensor, mask: Tensor) -> Tensor:
        return network_input(channels_to_complex(channels), mask)


def test_real_parts_come_first_then_imaginary_parts():
    channels = complex_to_channels(COILS_2)
    assert channels.shape == (1, 4, 1, 2)
    assert channels[0, :, 0].tolist() == [[1, 3], [5, 7], [2, 4], [6, 8]]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("n_coils", [1, 3])
def test_channels_keep_every_bit(n_coils: int, dtype: torch.dtype):
    values = random_complex(2, n_coils, 5, 4).to(dtype)
    back = channels_to_complex(complex_to_channels(values))
    assert back.dtype == dtype
    assert torch.equal(back, values)


def test_conjugate_data_make_other_channels():
    values = random_complex(1, 2, 4, 3)
    channels, conjugate = complex_to_channels(values), complex_to_channels(values.conj())
    assert torch.equal(channels[:, :2], conjugate[:, :2])
    assert torch.equal(channels[:, 2:], -conjugate[:, 2:])


def test_network_input_holds_measured_samples_and_the_mask_as_last_channel():
    values = network_input(COILS_2, torch.tensor([False, True]))
    assert values.dtype == torch.float32
    assert values[0, :, 0].tolist() == [[0, 3], [0, 7], [0, 4], [0, 8], [0, 1]]


def mask_rows(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5


@pytest.mark.parametrize(
    ("shape", "as_batch"),
    [
        ((4,), (1, 1, 1, 4)),
        ((2, 4), (2, 1, 1, 4)),
        ((5, 4), (1, 1, 5, 4)),
        ((2, 5, 4), (2, 1, 5, 4)),
        ((2, 1, 4), (2, 1, 1, 4)),
        ((1, 5, 4), (1, 1, 5, 4)),
    ],
)
def test_every_mask_shape_means_what_its_axes_say(shape: tuple[int, ...], as_batch: tuple[int, ...]):
    mask, kspace = mask_rows(shape), random_complex(2, 3, 5, 4)
    expected = mask.reshape(as_batch).expand(2, 1, 5, 4)
    measured, sampled = split_network_input(network_input(kspace, mask))
    assert torch.equal(sampled, expected.float())
    assert torch.equal(measured, torch.where(expected, kspace, torch.zeros_like(kspace)))


def test_what_lies_outside_the_mask_is_ignored():
    kspace = random_complex(1, 1, 3, 4)
    mask = torch.tensor([True, False, True, True])
    spoiled = kspace.clone()
    spoiled[..., 1] = float("nan")
    assert torch.equal(network_input(spoiled, mask), network_input(kspace, mask))


def test_double_precision_enters_as_float32():
    assert network_input(COILS_2.to(torch.complex128), torch.ones(2, dtype=torch.bool)).dtype == torch.float32


def test_memory_layout_does_not_matter():
    kspace, mask = random_complex(2, 3, 5, 4), mask_rows((4,))
    rows = network_input(kspace, mask)
    columns = rows.to(memory_format=torch.channels_last)
    assert columns.stride() != rows.stride()
    assert torch.equal(split_network_input(columns)[0], split_network_input(rows)[0])
    assert torch.equal(network_input(kspace.to(memory_format=torch.channels_last), mask), rows)


def test_gradients_pass_the_door():
    channels = torch.randn(2, 5, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def through(values: Tensor) -> Tensor:
        kspace, _ = split_network_input(values)
        return complex_to_channels(kspace * 1j)

    assert torch.autograd.gradcheck(through, channels.requires_grad_())


@pytest.mark.parametrize("mask_shape", [(4,), (2, 4), (5, 4), (2, 5, 4)])
def test_scripted_functions_agree(mask_shape: tuple[int, ...]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted_input, scripted_split = (
            torch.jit.script(network_input),
            torch.jit.script(split_network_input),
        )
        scripted_door = torch.jit.script(Door())
    kspace, mask = random_complex(2, 3, 5, 4), mask_rows(mask_shape)
    x = network_input(kspace, mask)
    assert torch.equal(scripted_input(kspace, mask), x)
    for scripted, plain in zip(scripted_split(x), split_network_input(x), strict=True):
        assert torch.equal(scripted, plain)
    assert torch.equal(scripted_door(x), Door()(x))


@pytest.mark.parametrize("module", [Door(), Input()])
def test_exported_functions_agree(module: nn.Module, tmp_path: Path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    kspace, mask = random_complex(2, 3, 5, 4), mask_rows((2, 5, 4))
    x = network_input(kspace, mask)
    inputs = (x,) if isinstance(module, Door) else (complex_to_channels(kspace), mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, tmp_path / "door.onnx", dynamo=True, verbose=False)
    session = runtime.InferenceSession(tmp_path / "door.onnx")
    names = [node.name for node in session.get_inputs()]
    (received,) = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    assert torch.equal(torch.from_numpy(received), module(*inputs))


def test_real_values_are_not_complex():
    with pytest.raises(
        ValueError, match=r"complex to channels: expected complex values, received torch\.float32"
    ):
        complex_to_channels(torch.zeros(1, 2, 3, 4))


def test_complex_values_are_not_channels():
    with pytest.raises(
        ValueError, match=r"channels to complex: expected real channels, received torch\.complex64"
    ):
        channels_to_complex(torch.zeros(1, 2, 3, 4, dtype=torch.complex64))


def test_three_axes_are_refused():
    with pytest.raises(
        ValueError, match=r"expected axes \(batch, channel, y, x\), received shape \[2, 3, 4\]"
    ):
        complex_to_channels(random_complex(2, 3, 4))
    with pytest.raises(
        ValueError, match=r"expected axes \(batch, channel, y, x\), received shape \[2, 3, 4\]"
    ):
        channels_to_complex(torch.zeros(2, 3, 4))
    with pytest.raises(
        ValueError, match=r"expected axes \(batch, channel, y, x\), received shape \[3, 3, 4\]"
    ):
        split_network_input(torch.zeros(3, 3, 4))


@pytest.mark.parametrize("n_channels", [0, 3])
def test_channels_that_are_no_pairs_are_refused(n_channels: int):
    with pytest.raises(ValueError, match=f"expected an even number of channels, received {n_channels}"):
        channels_to_complex(torch.zeros(1, n_channels, 3, 4))


@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_network_input_without_its_mask_channel_is_refused(n_channels: int):
    with pytest.raises(ValueError, match=rf"expected 2 coil \+ 1 channels, 3 or more, received {n_channels}"):
        split_network_input(torch.zeros(1, n_channels, 3, 4))


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"expected a bool mask, received torch\.float32"):
        network_input(COILS_2, torch.ones(2))


@pytest.mark.parametrize("shape", [(), (3,), (1,), (3, 4), (5, 3), (3, 5, 4), (2, 4, 4), (2, 1, 5, 4)])
def test_a_mask_of_another_grid_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"of batch 2, y 5, x 4, received shape \["):
        network_input(random_complex(2, 3, 5, 4), torch.ones(shape, dtype=torch.bool))


def test_a_mask_that_could_be_per_item_or_per_row_is_refused():
    kspace, mask = random_complex(5, 1, 5, 4), torch.ones(5, 4, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"batch and y are both 5, received shape \[5, 4\], which could be either"
    ):
        network_input(kspace, mask)
    assert torch.equal(network_input(kspace, mask[None]), network_input(kspace, mask[:, None]))
