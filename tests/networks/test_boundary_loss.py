"""The boundary loss against distances written out, and where its gradient points."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from kseg.networks.boundary_loss import RegionAndBoundaryLoss


class NoRegion(nn.Module):
    """A regional loss that is always the same."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return torch.zeros(()) * logits.sum() + 2.0


def discs() -> Tensor:
    """Labels of two slices: discs of classes 1 and 2 in the first, of class 3 in the second."""
    y, x = torch.arange(20)[:, None], torch.arange(24)
    labels = torch.zeros(2, 1, 20, 24, dtype=torch.long)
    labels[0, 0][(y - 8) ** 2 + (x - 7) ** 2 < 20] = 1
    labels[0, 0][(y - 12) ** 2 + (x - 17) ** 2 < 10] = 2
    labels[1, 0][(y - 9) ** 2 + (x - 12) ** 2 < 30] = 3
    return labels


def signed_distance(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Zero on the outermost pixels of the structure, as in the authors' code."""
    if not inside.any():
        return np.zeros(inside.shape)
    inner: NDArray[np.float64] = distance_transform_edt(inside)
    outer: NDArray[np.float64] = distance_transform_edt(~inside)
    return np.where(inside, 1 - inner, outer)


def logits_of(labels: Tensor, sureness: float = 30.0) -> Tensor:
    return sureness * nn.functional.one_hot(labels[:, 0], 4).movedim(-1, 1).float()


def test_it_is_the_mean_of_probability_times_distance() -> None:
    labels = discs()
    logits = torch.randn(2, 4, 20, 24, generator=torch.Generator().manual_seed(0))
    probabilities = logits.softmax(1).numpy()
    expected = np.mean(
        [
            (signed_distance((labels[item, 0] == structure).numpy()) * probabilities[item, structure]).mean()
            for item in range(2)
            for structure in (1, 2, 3)
        ]
    )
    received = RegionAndBoundaryLoss(NoRegion(), weight=1.0)(logits, labels)
    assert float(received) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.01, 0.6, 1.0])
def test_the_weights_of_both_add_up_to_one(weight: float) -> None:
    labels, logits = discs(), torch.randn(2, 4, 20, 24, generator=torch.Generator().manual_seed(0))
    alone = RegionAndBoundaryLoss(NoRegion(), weight=1.0)(logits, labels)
    received = RegionAndBoundaryLoss(NoRegion(), weight=weight)(logits, labels)
    torch.testing.assert_close(received, (1 - weight) * 2.0 + weight * alone)


def test_without_weight_it_is_the_regional_loss_bit_for_bit() -> None:
    labels, logits = discs(), torch.randn(2, 4, 20, 24, generator=torch.Generator().manual_seed(0))
    region = DiceCELoss(softmax=True, to_onehot_y=True)
    assert torch.equal(RegionAndBoundaryLoss(region, weight=0.0)(logits, labels), region(logits, labels))


def test_the_truth_is_best_and_farther_is_worse() -> None:
    labels = discs()
    loss = RegionAndBoundaryLoss(NoRegion(), weight=1.0)
    moved = [float(loss(logits_of(labels.roll(shift, -1)), labels)) for shift in range(5)]
    assert moved[0] < 0
    assert moved == sorted(moved)
    assert len(set(moved)) == 5


def test_what_lies_farther_outside_is_pushed_harder() -> None:
    labels, logits = discs(), torch.zeros(2, 4, 20, 24, requires_grad=True)
    RegionAndBoundaryLoss(NoRegion(), weight=1.0)(logits, labels).backward()
    assert logits.grad is not None
    row = logits.grad[1, 3, 9]
    assert row[12] < row[14] < 0 < row[18] < row[20] < row[22]


def test_a_slice_without_structures_has_no_boundary() -> None:
    labels, logits = torch.zeros(2, 1, 20, 24), torch.randn(2, 4, 20, 24, generator=torch.Generator())
    assert float(RegionAndBoundaryLoss(NoRegion(), weight=1.0)(logits, labels)) == 0


def test_half_precision_of_the_network_does_not_reach_the_sum() -> None:
    labels, logits = discs(), torch.randn(2, 4, 20, 24, generator=torch.Generator().manual_seed(0))
    loss = RegionAndBoundaryLoss(NoRegion(), weight=1.0)
    half = loss(logits.bfloat16(), labels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, loss(logits.bfloat16().float(), labels))


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_other_weights_are_refused(weight: float) -> None:
    message = rf"^boundary loss: expected a weight in \[0, 1\], received {weight}$"
    with pytest.raises(ValueError, match=message):
        RegionAndBoundaryLoss(NoRegion(), weight=weight)
    loss = RegionAndBoundaryLoss(NoRegion())
    with pytest.raises(ValueError, match=message):
        loss.weight = weight
