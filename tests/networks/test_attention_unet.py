"""The U-Net with attention, and the forms of it that other tools run."""

import warnings
from itertools import product
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from kseg.networks.attention_unet import ATTENTION, AttentionUNet
from kseg.networks.exponential_cross_entropy import ExponentialCrossEntropy

PLACES = {"encoder.levels.2.attention": 0, "encoder.levels.3.attention": 1, "decoder.levels.0.attention": 2}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(attention: str = "recurrent_slice", places: str = "101") -> AttentionUNet:
    """Small, in evaluation mode, all attention switched on."""
    torch.manual_seed(0)
    network = AttentionUNet(channels=(4, 6, 8, 10), attention=attention, places=places)
    for name, parameter in network.named_parameters():
        if "attention" in name and not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():  # normalisations take the statistics of noise
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = 1.0
        network(noise(2, 3, 4, 16, 16, seed=1))
    return network.eval()


@pytest.mark.parametrize(("attention", "places"), list(product(ATTENTION, ["000", "010", "101", "111"])))
def test_blocks_lie_where_the_places_say(attention: str, places: str, seeded: None):
    names = {name for name, _ in make(attention, places).named_modules() if name.endswith("attention")}
    assert names == {name for name, index in PLACES.items() if places[index] == "1"}


@pytest.mark.parametrize(
    ("places", "names"),
    [
        ("0010100", ["encoder.levels.2", "decoder.levels.0"]),
        ("1", ["encoder.levels.3"]),
        ("01010", ["encoder.levels.2", "decoder.levels.0"]),
        ("1000001", ["encoder.levels.0", "decoder.levels.2"]),
    ],
)
def test_places_of_every_level_are_counted_from_the_bottom(places: str, names: list[str], seeded: None):
    network = make(places=places)
    found = [name for name, _ in network.named_modules() if name.endswith("attention")]
    assert found == [f"{name}.attention" for name in names]
    x = noise(1, 3, 4, 16, 16)
    assert not torch.allclose(network(x), make(places="000")(x), atol=1e-3)


def test_all_variants_start_as_the_plain_one(seeded: None):
    x = noise(1, 3, 4, 16, 16)
    outputs, backbones = [], []
    for attention in ("recurrent_slice", "non_local"):
        for places in ("000", "010", "101", "111"):
            torch.manual_seed(1)
            network = AttentionUNet(channels=(4, 6, 8, 10), attention=attention, places=places).eval()
            outputs.append(network(x))
            backbones.append([name for name in network.state_dict() if "attention" not in name])
    assert all(torch.equal(output, outputs[0]) for output in outputs)
    assert all(backbone == backbones[0] for backbone in backbones)


def test_with_instance_normalisation_training_does_what_inference_does(seeded: None):
    x = noise(2, 3, 4, 32, 32)
    instance, batch = (AttentionUNet(channels=(4, 6, 8, 10), norm=norm) for norm in ("instance", "batch"))
    torch.testing.assert_close(instance.train()(x), instance.eval()(x))
    torch.testing.assert_close(instance(x)[1:], instance(x[1:]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(batch.train()(x), batch.eval()(x), atol=1e-2)


@pytest.mark.parametrize("attention", ["recurrent_slice", "non_local"])
@pytest.mark.parametrize("place", range(3))
def test_every_block_matters(attention: str, place: int, seeded: None):
    places = "".join("1" if index == place else "0" for index in range(3))
    network, x = make(attention, places), noise(1, 3, 4, 16, 16)
    plain = make(places="000")
    plain.load_state_dict(
        {name: each for name, each in network.state_dict().items() if "attention" not in name}
    )
    assert (network(x) - plain(x)).abs().max() > 0.01


def test_levels_follow_the_size_of_the_voxels(seeded: None):
    network = AttentionUNet()
    sizes = [tuple(level[0].kernel_size) for level in network.encoder.levels]
    assert sizes == [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)]
    assert network.multiples == [2, 8, 8]
    x = noise(1, 3, 4, 16, 24)
    shapes = [tuple(level.shape[1:]) for level in network.encoder(x)]
    assert shapes == [(16, 4, 16, 24), (32, 4, 8, 12), (64, 4, 4, 6), (128, 2, 2, 3)]
    assert 1e6 < sum(parameter.numel() for parameter in network.parameters()) < 2e6
    assert AttentionUNet(spacing_mm=[1.0, 1.0, 1.0]).multiples == [8, 8, 8]


def test_slices_meet_below_the_two_finest_levels_alone(seeded: None):
    """Far above the plane of the others, a slice of the two finest levels hears from itself alone."""
    network = make(places="000")
    x, other = noise(1, 3, 6, 16, 16), noise(1, 3, 6, 16, 16)
    other[:, :, 0] += 1
    changed = [
        (one != two).flatten(3).any(dim=3).any(dim=1)[0].tolist()
        for one, two in zip(network.encoder(x), network.encoder(other), strict=True)
    ]
    assert changed[:2] == 2 * [[True, False, False, False, False, False]]
    assert changed[2] == [True, True, True, False, False, False]


@pytest.mark.parametrize("shape", [(4, 16, 16), (5, 17, 23), (1, 7, 9)])
def test_any_size_is_padded_with_zeros(shape: tuple[int, int, int], seeded: None):
    network, x = make(), noise(2, 3, *shape)
    padded = torch.zeros(
        2, 3, *(-(-size // multiple) * multiple for size, multiple in zip(shape, (2, 8, 8), strict=True))
    )
    padded[:, :, : shape[0], : shape[1], : shape[2]] = x
    logits = network(x)
    assert logits.shape == (2, 2, *shape)
    torch.testing.assert_close(logits, network(padded)[:, :, : shape[0], : shape[1], : shape[2]])


def test_gradients_reach_every_parameter(seeded: None):
    network = make("recurrent_slice", "111").train()
    network(noise(2, 3, 4, 16, 16)).square().sum().backward()
    without = [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()]
    # What a softmax over slices does not see: a change that is the same for all of them.
    assert [name for name in without if "bias" not in name] == []


def test_one_batch_is_learnt(seeded: None):
    network = AttentionUNet(channels=(4, 6, 8, 10)).train()
    x = noise(2, 3, 4, 16, 16)
    labels = (x[:, :1] > 1.5).float()
    loss, optimizer = ExponentialCrossEntropy(0.06), torch.optim.Adam(network.parameters(), lr=3e-2)
    values = []
    for _ in range(25):
        optimizer.zero_grad()
        value = loss(network(x), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
    scales = network.encoder.levels[2].get_submodule("attention").scales
    assert scales.abs().min() > 1e-3


def test_what_cannot_be_built_or_taken_is_refused(seeded: None):
    with pytest.raises(ValueError, match=r"expected attention recurrent_slice, .*, received 'global'"):
        AttentionUNet(attention="global")
    told = "expected places such as '101', an odd number of 1 to 7 digits, received"
    for places in ("", "10", "1010", "1x1", "101010101"):
        with pytest.raises(ValueError, match=f"{told} '{places}'"):
            AttentionUNet(places=places)
    with pytest.raises(ValueError, match=f"{told} 101"):
        AttentionUNet(places=101)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected channels of at least 2 levels, received 1"):
        AttentionUNet(channels=(4,))
    with pytest.raises(ValueError, match=r"expected \(batch, 3, slice, y, x\), received \[1, 2, 4, 8, 8\]"):
        make()(noise(1, 2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"expected \(batch, 3, slice, y, x\), received \[1, 3, 8, 8\]"):
        make()(noise(1, 3, 8, 8))


@pytest.mark.parametrize("attention", ATTENTION)
def test_scripted_is_eager_at_any_size(attention: str, seeded: None):
    network = make(attention, "111")
    scripted = torch.jit.script(network)
    for shape in ((2, 3, 4, 16, 16), (1, 3, 5, 9, 10), (1, 3, 5, 9, 10)):
        torch.testing.assert_close(scripted(noise(*shape)), network(noise(*shape)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["recurrent_slice", "non_local"])
def test_onnx_is_eager_at_any_number_of_multiples(attention: str, tmp_path: Path, seeded: None):
    network, path = make(attention), tmp_path / "network.onnx"
    sizes = {
        axis: multiple * Dim(f"n_{axis}", min=1)
        for axis, multiple in zip((2, 3, 4), network.multiples, strict=True)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        dynamic = ({0: Dim("batch"), **sizes},)
        x = noise(2, 3, 4, 24, 16)
        torch.onnx.export(network, (x,), path, dynamo=True, verbose=False, dynamic_shapes=dynamic)
    session = onnxruntime.InferenceSession(path)
    for shape in ((2, 3, 4, 24, 16), (1, 3, 6, 16, 40)):
        x = noise(*shape)
        received = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
        expected = network(x).detach()
        torch.testing.assert_close(received, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_compiled_is_eager(seeded: None):
    network, x = make(), noise(1, 3, 5, 9, 10)
    # The whole graph, but without generating code, which takes minutes.
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-5, atol=1e-5)
