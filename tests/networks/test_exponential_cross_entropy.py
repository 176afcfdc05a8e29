import math

import pytest
import torch
from monai.losses import DiceCELoss
from torch._subclasses import FakeTensorMode

from kseg.networks.exponential_cross_entropy import ExponentialCrossEntropy


def test_lesions_weigh_more_the_rarer_they_are():
    background, lesion = ExponentialCrossEntropy(5.15e-4).weight.tolist()
    # 1 / (1 + e^(2r - 1)), which the paper prints for the background
    assert lesion == pytest.approx(1 / (1 + math.exp(2 * 5.15e-4 - 1)), abs=1e-6)
    assert lesion == pytest.approx(0.7309, abs=1e-4)
    assert background + lesion == pytest.approx(1)
    assert ExponentialCrossEntropy(0.5).weight.tolist() == [0.5, 0.5]
    assert ExponentialCrossEntropy(0.2).weight[1] < lesion


def test_two_voxels_by_hand():
    """Background believed by 3/4 and lesion by 1/2: the mean of log 4/3 and log 2, as the classes weigh."""
    loss = ExponentialCrossEntropy(0.1)
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]).reshape(1, 2, 1, 1, 2)
    labels = torch.tensor([0, 1]).reshape(1, 1, 1, 1, 2)
    light, heavy = math.exp(0.1), math.exp(0.9)
    expected = (light * math.log(4 / 3) + heavy * math.log(2)) / (light + heavy)
    assert loss(logits, labels).item() == pytest.approx(expected)
    assert loss(logits.bfloat16(), labels.float()).dtype == torch.float32


def test_it_takes_what_the_loss_of_monai_takes():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, 5, generator=generator, requires_grad=True)
    labels = torch.randint(2, (2, 1, 3, 4, 5), generator=generator).float()
    for loss in (ExponentialCrossEntropy(0.01), DiceCELoss(to_onehot_y=True, softmax=True)):
        value = loss(logits, labels)
        value.backward()
        assert value.shape == ()
    assert logits.grad is not None


def test_nobody_moves_a_loss_to_the_device_of_its_logits():
    loss = ExponentialCrossEntropy(0.01)
    # Tensors that compute nothing, but know on which device they are: none of a GPU is needed.
    with FakeTensorMode(allow_non_fake_inputs=True):
        logits = torch.zeros(1, 2, 2, 3, 3, device="meta")
        assert loss(logits, torch.zeros(1, 1, 2, 3, 3, device="meta")).device.type == "meta"


def test_no_state_is_kept_in_checkpoints():
    assert not ExponentialCrossEntropy(0.01).state_dict()


@pytest.mark.parametrize("fraction", [-0.1, 1.5, math.nan])
def test_a_fraction_lies_between_0_and_1(fraction: float):
    with pytest.raises(ValueError, match=rf"expected a lesion fraction in \[0, 1\], received {fraction}"):
        ExponentialCrossEntropy(fraction)
