"""The network in the two forms that other tools run."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

from kseg.networks.seranet import SERANet
from kseg.transforms.channels import complex_to_channels

BLOCKS = ["cascade", "autoencoder"]
Make = Callable[..., SERANet]
Scan = Callable[..., Tensor]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("n_recurrences", "norm"), [(0, "batch"), (2, "batch"), (2, "instance")])
def test_scripted_is_eager(
    block: str, n_recurrences: int, norm: str, make_network: Make, scan: Scan, noise, maps: Tensor
):
    network = make_network(block=block, n_recurrences=n_recurrences, norm=norm)
    scripted = torch.jit.script(network)
    x, channels = scan(noise(1, 1, 12, 10), maps), complex_to_channels(maps)
    torch.testing.assert_close(scripted(x, channels), network(x, channels), rtol=1e-5, atol=1e-5)


def test_scripted_takes_any_size(make_network: Make, scan: Scan, noise):
    network = make_network(consistency_weight=0.7)
    scripted = torch.jit.script(network)
    for shape in ((12, 10), (7, 9)):
        x = scan(noise(2, 1, *shape))
        torch.testing.assert_close(scripted(x), network(x), rtol=1e-5, atol=1e-5)


def export(network: SERANet, path: Path, *inputs: Tensor, **dynamic: Any) -> onnxruntime.InferenceSession:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(network, inputs, path, dynamo=True, verbose=False, **dynamic)
    return onnxruntime.InferenceSession(path)


def assert_equal_results(session: onnxruntime.InferenceSession, network: SERANet, *inputs: Tensor) -> None:
    names = [value.name for value in session.get_inputs()]
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    received = torch.from_numpy(session.run(None, feeds)[0])
    expected = network(*inputs).detach()
    torch.testing.assert_close(received, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_onnx_is_eager_at_any_size(norm: str, make_network: Make, scan: Scan, noise, tmp_path: Path):
    network = make_network(n_blocks=1, n_recurrences=1, consistency_weight=0.7, norm=norm)
    axes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("y", min=4), 3: torch.export.Dim("x", min=4)}
    session = export(network, tmp_path / "network.onnx", scan(noise(2, 1, 12, 10)), dynamic_shapes=(axes,))
    for shape in ((2, 12, 10), (1, 15, 18), (3, 216, 180)):
        assert_equal_results(session, network, scan(noise(shape[0], 1, *shape[1:])))


def test_onnx_of_several_coils_is_eager(make_network: Make, scan: Scan, noise, maps: Tensor, tmp_path: Path):
    network = make_network(block="autoencoder", n_blocks=1, n_recurrences=1)
    inputs = scan(noise(1, 1, 12, 10), maps), complex_to_channels(maps)
    assert_equal_results(export(network, tmp_path / "network.onnx", *inputs), network, *inputs)


def test_with_neighbours_both_forms_are_eager(make_network: Make, scan: Scan, noise, tmp_path: Path):
    network = make_network(n_neighbours=1, n_blocks=1, n_recurrences=1)
    own, *others = (scan(noise(2, 1, 12, 10, seed=seed)) for seed in range(3))
    x = torch.cat([own, *(other[:, :-1] for other in others)], dim=1)
    torch.testing.assert_close(torch.jit.script(network)(x), network(x), rtol=1e-5, atol=1e-5)
    assert_equal_results(export(network, tmp_path / "network.onnx", x), network, x)
