"""The weight of every epoch, from the start and after a resumption."""

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from kseg.networks.boundary_loss import RegionAndBoundaryLoss
from kseg.pipelines.boundary_schedule import BoundarySchedule


class Region(nn.Module):
    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.weights = weights
        self.loss: RegionAndBoundaryLoss | None = None

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        assert self.loss is not None
        self.weights.append(self.loss.weight)
        return logits.square().mean()


def weights_seen(n_epochs: int, after: int = 0, **schedule: float) -> list[float]:
    """Weight of the loss in each of two iterations of each epoch."""
    weights: list[float] = []
    region = Region(weights)
    loss = RegionAndBoundaryLoss(region)
    # A plain attribute: the loss is not a part of its own part.
    object.__setattr__(region, "loss", loss)
    network = nn.Conv2d(3, 4, 1)
    batch = {"image": torch.rand(2, 3, 6, 5), "label": torch.ones(2, 1, 6, 5)}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=n_epochs,
        train_data_loader=[batch, batch],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=loss,
        train_handlers=[BoundarySchedule(loss, **schedule)],
    )
    trainer.state.epoch, trainer.state.iteration = after, 2 * after
    trainer.run()
    return weights


@pytest.mark.usefixtures("seeded")
def test_the_weight_grows_by_a_step_in_each_epoch_up_to_the_last() -> None:
    received = weights_seen(5, first=0.1, step=0.3, last=0.8)
    assert received == pytest.approx([0.1, 0.1, 0.4, 0.4, 0.7, 0.7, 0.8, 0.8, 0.8, 0.8])
    assert weights_seen(3) == pytest.approx([0, 0, 0.01, 0.01, 0.02, 0.02])


@pytest.mark.usefixtures("seeded")
def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one() -> None:
    whole = weights_seen(4, first=0.1, step=0.2)
    assert weights_seen(4, after=2, first=0.1, step=0.2) == whole[4:]


@pytest.mark.parametrize(
    "schedule", [{"first": -0.1}, {"first": 0.5, "last": 0.4}, {"last": 1.1}, {"step": -0.01}]
)
def test_schedules_that_leave_the_range_are_refused(schedule: dict[str, float]) -> None:
    message = "expected 0 <= first <= last <= 1 and step >= 0, received first"
    with pytest.raises(ValueError, match=message):
        BoundarySchedule(RegionAndBoundaryLoss(nn.Identity()), **schedule)
