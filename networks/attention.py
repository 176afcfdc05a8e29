"""Segmentation-aware attention: the image split by where each class is believed to be."""

from torch import Tensor


def class_attention(image: Tensor, probabilities: Tensor) -> Tensor:
    """Multiply the image with the probability map of each class.

    Args:
        image: real and imaginary part, `(batch, 2, y, x)`.
        probabilities: class probabilities summing to 1, `(batch, class, y, x)`.

    Returns:
        `(batch, 2 class, y, x)`: real and imaginary part of class 0, then of class 1, and so on; summed over
        the classes they are the image again.

    Reference:
        Huang et al., End-to-end segmentation with recurrent attention neural network, Eq. 4.

    Example:
        >>> import torch
        >>> image = torch.tensor([2.0, 4.0]).reshape(1, 2, 1, 1)
        >>> class_attention(image, torch.tensor([0.25, 0.75]).reshape(1, 2, 1, 1)).flatten()
        tensor([0.5000, 1.0000, 1.5000, 3.0000])
    """
    return (probabilities.unsqueeze(2) * image.unsqueeze(1)).flatten(1, 2)
