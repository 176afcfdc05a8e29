"""Cross-entropy for a class that is rare, weighted by how rare it is."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ExponentialCrossEntropy(nn.Module):
    """Exponentially weighted cross-entropy of background and lesion.

    With r the fraction of lesion voxels, lesion weighs e^(1 - r) / (e^r + e^(1 - r)) and background
    e^r / (e^r + e^(1 - r)). The paper prints the two the other way round: at its r of 5.15e-4 lesions would weigh
    0.27, against its purpose, which is to make up for their rarity. The loss of a batch is the weighted mean over its
    voxels, as that of `torch.nn.CrossEntropyLoss`.

    Args:
        lesion_fraction: r, measured on the training set, in [0, 1].

    Raises:
        ValueError: a fraction outside [0, 1].

    Reference:
        Zhang et al. 2019, RSANet, Section 3.1.

    Example:
        >>> ExponentialCrossEntropy(5.15e-4).weight
        tensor([0.2691, 0.7309])
    """

    weight: Tensor

    def __init__(self, lesion_fraction: float) -> None:
        if not 0 <= lesion_fraction <= 1:
            raise ValueError(
                f"cross-entropy: expected a lesion fraction in [0, 1], received {lesion_fraction}"
            )
        super().__init__()
        background, lesion = math.exp(lesion_fraction), math.exp(1 - lesion_fraction)
        weight = torch.tensor([background, lesion]) / (background + lesion)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            logits: `(batch, 2, slice, y, x)`.
            labels: `(batch, 1, slice, y, x)`, 0 for background, 1 for lesion.
        """
        return F.cross_entropy(logits.float(), labels.squeeze(1).long(), self.weight.to(logits.device))
