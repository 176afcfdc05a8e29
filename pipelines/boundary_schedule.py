"""How the weight of the boundary loss grows with the epochs."""

from ignite.engine import Events
from monai.engines.workflow import Workflow

from kseg.networks.boundary_loss import RegionAndBoundaryLoss


class BoundarySchedule:
    """Set the weight of the boundary loss at the beginning of each epoch, the same after a resumption.

    The weight is `first` in the first epoch, `step` more in each one after it, and no more than `last`.

    Args:
        loss: whose weight is set.
        first: weight of the first epoch.
        step: what each epoch adds.
        last: the largest weight.

    Raises:
        ValueError: anything but 0 <= first <= last <= 1 and step >= 0.

    Reference:
        Kervadec et al. 2019, Boundary loss for highly unbalanced segmentation, Section 3.
    """

    def __init__(
        self, loss: RegionAndBoundaryLoss, first: float = 0.0, step: float = 0.01, last: float = 0.99
    ) -> None:
        if not (0 <= first <= last <= 1 and step >= 0):
            raise ValueError(
                "boundary schedule: expected 0 <= first <= last <= 1 and step >= 0, "
                f"received first {first}, last {last} and step {step}"
            )
        self.loss = loss
        self.first = first
        self.step = step
        self.last = last

    def attach(self, engine: Workflow) -> None:
        """Listen to the beginning of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)

    def _begin(self, engine: Workflow) -> None:
        self.loss.weight = min(self.last, self.first + self.step * (engine.state.epoch - 1))
