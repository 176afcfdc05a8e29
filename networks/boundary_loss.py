"""Boundary loss: how far from the true boundary a class is predicted, together with a regional loss."""

import torch
from monai.losses import BoundaryLoss
from torch import Tensor, nn


class RegionAndBoundaryLoss(nn.Module):
    """A regional loss and the boundary loss, weighted by 1 - w and w.

    The boundary loss is the mean of s phi over the pixels of all structures: s is the predicted probability of a
    structure and phi the distance to its true boundary in pixels, negative inside; 0 where a slice has none of it.
    It is lowest, below zero, for the truth, but alone it has no hold on what is missing everywhere, so that w
    begins at 0 and grows with the epochs: `kseg.pipelines.boundary_schedule.BoundarySchedule` sets it.

    The distances are computed from the labels of every batch on the processor.

    Args:
        region: regional loss of logits `(batch, class, y, x)` and labels `(batch, 1, y, x)`, such as `DiceCELoss`.
        weight: w of the boundary loss, in [0, 1].

    Raises:
        ValueError: a weight outside [0, 1].

    Reference:
        Kervadec et al. 2019, Boundary loss for highly unbalanced segmentation.
    """

    def __init__(self, region: nn.Module, weight: float = 0.0) -> None:
        super().__init__()
        self.region = region
        # Probabilities come in float32 whatever the precision of the network.
        self.boundary = BoundaryLoss(include_background=False, to_onehot_y=True)
        self.weight = weight

    @property
    def weight(self) -> float:
        """Share w of the boundary loss."""
        return self._weight

    @weight.setter
    def weight(self, weight: float) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"boundary loss: expected a weight in [0, 1], received {weight}")
        self._weight = weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            logits: `(batch, class, y, x)`.
            labels: `(batch, 1, y, x)`, 0 for background.
        """
        region: Tensor = self.region(logits, labels)
        if not self.weight:
            return region
        probabilities = torch.softmax(logits.float(), dim=1)
        boundary: Tensor = self.boundary(probabilities, labels)
        return (1 - self.weight) * region + self.weight * boundary
