import pytest
import torch
from torch import Tensor, nn

from kseg.networks.losses import NormalizedSquaredError, ReconstructionAndSegmentationLoss


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_error_is_relative_to_the_power_of_the_batch():
    reference = noise(3, 2, 5, 4)
    error = NormalizedSquaredError()
    assert error(reference, reference) == 0
    torch.testing.assert_close(error(torch.zeros_like(reference), reference), torch.tensor(1.0))
    torch.testing.assert_close(error(1.1 * reference, reference), torch.tensor(0.01), rtol=1e-4, atol=0)
    image = reference + 0.3 * noise(3, 2, 5, 4, seed=1)
    torch.testing.assert_close(error(1e-6 * image, 1e-6 * reference), error(image, reference))


def test_a_slice_with_next_to_no_signal_does_not_outweigh_the_others():
    reference = noise(2, 2, 5, 4)
    reference[1] *= 1e-6
    image = reference + 0.1
    expected = 2 * 40 * 0.01 / reference.square().sum()
    torch.testing.assert_close(NormalizedSquaredError()(image, reference), expected)
    item_by_item = (image - reference).square().sum((1, 2, 3)) / reference.square().sum((1, 2, 3))
    assert item_by_item.mean() > 1e9


def test_a_batch_without_signal_teaches_nothing():
    image = noise(2, 2, 5, 4).requires_grad_()
    loss = NormalizedSquaredError()(image, torch.zeros(2, 2, 5, 4))
    loss.backward()
    assert loss == 0
    assert torch.equal(image.grad, torch.zeros(2, 2, 5, 4))


def test_images_of_another_shape_are_refused():
    expected = r"expected an image \[2, 2, 5, 4\], received \[1, 2, 5, 4\]"
    with pytest.raises(ValueError, match="normalised squared error: " + expected):
        NormalizedSquaredError()(torch.zeros(1, 2, 5, 4), torch.zeros(2, 2, 5, 4))


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_both_losses_are_added_with_the_weight_on_the_image(weight: float):
    image, reference = noise(2, 2, 5, 4), noise(2, 2, 5, 4, seed=1)
    logits, label = noise(2, 3, 5, 4, seed=2), torch.arange(40).reshape(2, 5, 4) % 3
    cross_entropy = nn.CrossEntropyLoss()
    loss = ReconstructionAndSegmentationLoss(cross_entropy, weight)
    expected = cross_entropy(logits, label) + weight * NormalizedSquaredError()(image, reference)
    torch.testing.assert_close(loss((image, logits), (reference, label)), expected)
