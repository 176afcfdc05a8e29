"""A volume is its slices, each segmented as if it were alone."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from kseg.networks.seranet import SERANet
from kseg.pipelines import segmentation
from kseg.pipelines.segmentation import segment_volume
from kseg.transforms.channels import network_input

N_SLICES, N_Y, N_X = 5, 12, 10


@pytest.fixture(scope="module")
def network() -> SERANet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SERANet(n_blocks=1, n_recurrences=2, n_filters=4, unet_channels=(4, 8)).eval()


@pytest.fixture(scope="module")
def kspace() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N_SLICES, 1, N_Y, N_X, dtype=torch.complex64, generator=generator)


@pytest.mark.parametrize("shape", [(N_X,), (N_SLICES, N_X), (N_SLICES, N_Y, N_X)])
def test_every_slice_gets_its_own_mask(shape: tuple[int, ...], network: SERANet, kspace: Tensor) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.6
    result = segment_volume(network, kspace, mask, all_passes=True)
    assert result.probabilities.shape == (3, N_SLICES, 4, N_Y, N_X)
    assert result.images.shape == (3, N_SLICES, N_Y, N_X)
    for index in range(N_SLICES):
        one = mask if mask.ndim == 1 else mask[index]
        with torch.inference_mode():
            images, logits = network.unroll(network_input(kspace[index : index + 1], one))
        for number in range(3):
            expected = torch.softmax(logits[number][0], dim=0)
            torch.testing.assert_close(result.probabilities[number, index], expected)
            magnitude = torch.complex(*images[number][0]).abs()
            torch.testing.assert_close(result.images[number, index], magnitude)


def test_the_same_volume_gives_the_same_bits(network: SERANet, kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    one, other = (segment_volume(network, kspace, mask) for _ in range(2))
    assert torch.equal(one.probabilities, other.probabilities)
    assert torch.equal(one.images, other.images)


def test_the_slices_at_once_change_nothing(
    network: SERANet, kspace: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = torch.rand((N_SLICES, N_X), generator=torch.Generator().manual_seed(2)) < 0.6
    together = segment_volume(network, kspace, mask)
    for slices_at_once in (1, 2):
        monkeypatch.setattr(segmentation, "_PIXELS_AT_ONCE", slices_at_once * N_Y * N_X)
        torch.testing.assert_close(
            segment_volume(network, kspace, mask).probabilities, together.probabilities
        )
    monkeypatch.setattr(segmentation, "_PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(segment_volume(network, kspace, mask).images, together.images)


def test_without_all_passes_the_last_is_kept(network: SERANet, kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    last, every = (segment_volume(network, kspace, mask, all_passes=each) for each in (False, True))
    assert torch.equal(last.probabilities, every.probabilities[-1:])
    assert torch.equal(last.images, every.images[-1:])
    assert not torch.equal(every.probabilities[0], every.probabilities[-1])


def test_an_empty_slice_is_segmented_too(network: SERANet, kspace: Tensor) -> None:
    holed = kspace.clone()
    holed[2] = 0
    result = segment_volume(network, holed, torch.ones(N_X, dtype=torch.bool))
    assert result.probabilities.isfinite().all()


def test_coils_that_the_network_does_not_take(network: SERANet) -> None:
    kspace = torch.ones(2, 8, N_Y, N_X, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"^network: expected k-space of 1 coil\(s\), received 8$"):
        segment_volume(network, kspace, torch.ones(N_X, dtype=torch.bool))


@pytest.mark.parametrize("scale", [1e-17, 1e17])
def test_magnitudes_beyond_the_range_of_squares_are_refused(
    scale: float, network: SERANet, kspace: Tensor
) -> None:
    message = (
        r"^network: expected k-space whose largest magnitude lies between 1e-15 and 1e[+]15, received [\d.]+e"
    )
    with pytest.raises(ValueError, match=message):
        segment_volume(network, scale * kspace, torch.ones(N_X, dtype=torch.bool))


def test_results_that_are_not_finite_are_refused(network: SERANet, kspace: Tensor) -> None:
    broken = deepcopy(network)
    for parameter in broken.parameters():
        parameter.data *= 1e38
    with pytest.raises(ValueError, match=r"^network: expected finite probabilities, received NaN$"):
        segment_volume(broken, kspace, torch.ones(N_X, dtype=torch.bool))
