"""Losses on reconstructed images, alone and together with a segmentation loss."""

import torch
from torch import Tensor, nn


class NormalizedSquaredError(nn.Module):
    """Squared error of images relative to their references: sum |p - r|^2 / sum |r|^2 over the whole batch.

    Over the batch, not item by item: of the slices above the head some hold next to no signal, and their relative
    errors would outweigh all others. A batch without any signal has the error 0.

    Example:
        >>> reference = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
        >>> NormalizedSquaredError()(reference + torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1), reference)
        tensor(0.0400)
    """

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Error of a batch.

        Args:
            image: real and imaginary part, `(batch, 2, y, x)`.
            reference: the same of the truth, in the same unit.

        Raises:
            ValueError: shapes that differ.
        """
        if image.shape != reference.shape:
            expected, received = list(reference.shape), list(image.shape)
            raise ValueError(f"normalised squared error: expected an image {expected}, received {received}")
        power = reference.square().sum()
        return (image.float() - reference).square().sum() / torch.where(power > 0, power, torch.inf)


class ReconstructionAndSegmentationLoss(nn.Module):
    """Weighted sum of the error of the image and a segmentation loss.

    Args:
        segmentation: loss on logits `(batch, class, y, x)` and labels `(batch, 1, y, x)`.
        weight: of the normalised squared error of the image; the segmentation loss has weight 1.

    Reference:
        Sun et al., Joint CS-MRI reconstruction and segmentation with a unified deep network, 2018.
    """

    def __init__(self, segmentation: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.segmentation = segmentation
        self.weight = weight
        self.reconstruction = NormalizedSquaredError()

    def forward(self, predicted: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            predicted: image and logits.
            truth: reference and labels.
        """
        (image, logits), (reference, labels) = predicted, truth
        loss: Tensor = self.segmentation(logits, labels) + self.weight * self.reconstruction(image, reference)
        return loss
