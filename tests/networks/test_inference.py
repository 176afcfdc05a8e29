"""The form of a network that computes fastest computes the same."""

import pytest
import torch
from torch import nn

from kseg.networks.attention_unet import AttentionUNet
from kseg.networks.inference import for_inference, inference_dtype
from kseg.pipelines.bundle import load_network
from kseg.pipelines.simulate import SimulationSettings, simulate_scan
from kseg.transforms.channels import network_input
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.phantom import make_phantom

BLOCKS = ["cascade", "autoencoder"]


@pytest.fixture
def trained(make_network):
    """Make a network whose normalisations have statistics and parameters of their own."""

    def make(block: str, norm: str = "batch") -> nn.Module:
        network = make_network(block=block, norm=norm)
        generator = torch.Generator().manual_seed(1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for values in (module.running_mean, module.bias.data):
                    values.normal_(generator=generator)
                for values in (module.running_var, module.weight.data):
                    values.uniform_(0.5, 2, generator=generator)
        return network.eval()

    return make


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_logits_differ_by_rounding_alone(trained, block, norm, scan, noise):
    network, x = trained(block, norm), scan(noise(2, 1, 20, 18))
    fast = for_inference(network)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), network(x), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())


def test_the_network_itself_stays_as_it_is(trained):
    network = trained("cascade")
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for_inference(network, torch.bfloat16)
    torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0)


@pytest.mark.usefixtures("seeded")
def test_a_network_of_volumes_is_folded_too():
    network = AttentionUNet(2, channels=(4, 6, 8), places="101")
    x = torch.randn(4, 2, 6, 12, 10)
    for _ in range(3):
        network(x)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    network.eval()
    fast = for_inference(network)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), network(x), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in fast.modules())
    weight = next(
        module.weight
        for module in fast.modules()
        if isinstance(module, nn.Conv3d) and module.in_channels == 4
    )
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.usefixtures("seeded")
def test_a_normalization_that_follows_no_convolution_stays():
    layers = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)).eval()
    layers[2].running_mean.fill_(3.0)
    x = torch.ones(1, 1, 2, 2)
    assert isinstance(for_inference(layers)[2], nn.BatchNorm2d)
    torch.testing.assert_close(for_inference(layers)(x), layers(x))


@pytest.mark.usefixtures("seeded")
def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match="expected a network in evaluation mode, received one in training"):
        for_inference(nn.Sequential(nn.Conv2d(1, 1, 1)))


def test_bfloat16_finds_the_classes_of_float32():
    network = load_network("brain_kspace_segmentation")
    scanned = simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()).volume
    few = slice(10, 50, 10)
    x = network_input(scanned.kspace[few], scanned.mask)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        fast = for_inference(network, torch.bfloat16)(x).argmax(1)
    with torch.inference_mode():
        exact = network(x).argmax(1)
    assert float((fast == exact).float().mean()) >= 0.999


def test_a_device_without_units_for_bfloat16_computes_in_float32(monkeypatch):
    cpu = torch.device("cpu")
    for capabilities, dtype in (({"amx_bf16": True}, torch.bfloat16), ({}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert inference_dtype(cpu) == dtype
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert inference_dtype(cpu) == torch.float32
    assert inference_dtype(torch.device("meta")) == torch.float32
