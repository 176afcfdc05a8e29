"""A volume through MONAI's door is the volume that `segment_volume` makes."""

import pytest
import torch
from torch import Tensor

from kseg.networks.seranet import SERANet
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.segmentation import segment_volume
from kseg.pipelines.volume_inferer import VolumeInferer
from kseg.transforms.channels import network_input

pytestmark = pytest.mark.usefixtures("seeded")


def network() -> SERANet:
    return SERANet(n_blocks=1, n_recurrences=1, n_filters=4, unet_channels=(4, 8)).eval()


def volume(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    kspace = scale * torch.randn(5, 1, 12, 10, dtype=torch.complex64, generator=generator)
    return kspace, torch.rand(5, 12, 10, generator=generator) < 0.5


def at_the_door(kspace: Tensor, mask: Tensor) -> Tensor:
    return network_input(kspace, mask).movedim(0, 1)[None]


def test_probabilities_are_those_of_segment_volume() -> None:
    segmenter, (kspace, mask) = network(), volume()
    received = VolumeInferer()(at_the_door(kspace, mask), segmenter)
    assert received.shape == (1, 4, 5, 12, 10)
    expected = segment_volume(segmenter, kspace, mask).probabilities[-1]
    assert torch.equal(received[0].movedim(0, 1), expected)
    torch.testing.assert_close(received.sum(1), torch.ones(1, 5, 12, 10))


def test_flip_and_temperature_are_passed_on() -> None:
    segmenter, (kspace, mask) = network(), volume()
    received = VolumeInferer(flip=True, temperature=1.5)(at_the_door(kspace, mask), segmenter)
    expected = segment_volume(
        segmenter, kspace, mask, InferenceOptions(flip=True, temperature=1.5)
    ).probabilities[-1]
    assert torch.equal(received[0].movedim(0, 1), expected)
    assert not torch.equal(received, VolumeInferer(flip=True)(at_the_door(kspace, mask), segmenter))
    assert not torch.equal(received, VolumeInferer(temperature=1.5)(at_the_door(kspace, mask), segmenter))


def test_refusals_are_those_of_segment_volume() -> None:
    with pytest.raises(ValueError, match="expected k-space whose largest magnitude lies between"):
        VolumeInferer()(at_the_door(*volume(scale=1e20)), network())


def test_one_volume_at_a_time() -> None:
    door = at_the_door(*volume())
    with pytest.raises(ValueError, match="expected one volume alone, received 2 and 0 further arguments"):
        VolumeInferer()(torch.cat([door, door]), network())
    with pytest.raises(ValueError, match="expected one volume alone, received 1 and 1 further arguments"):
        VolumeInferer()(door, network(), door)


def test_other_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a KSpaceSegmenter, received Identity"):
        VolumeInferer()(at_the_door(*volume()), torch.nn.Identity())
