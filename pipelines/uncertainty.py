"""How unsure a segmentation is, voxel by voxel."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kseg.pipelines.save_segmentation import SaveSegmentationd


def uncertainty(probabilities: Tensor, axis: int) -> Tensor:
    """Entropy of class probabilities, relative to that of a guess.

    Args:
        probabilities: of each class, at least two, summing to 1 along an axis.
        axis: axis of the classes; the result is without it.

    Returns:
        -sum p log p / log(number of classes): 0 where one class is certain, 1 where all are as probable.

    Example:
        >>> uncertainty(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.25] * 4]), axis=1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    entropy: Tensor = torch.special.entr(probabilities).sum(axis) / math.log(probabilities.shape[axis])
    return entropy.clamp(0, 1)


class SaveUncertaintyd(SaveSegmentationd):
    """Write the uncertainty of class probabilities, float32; arguments and errors as `SaveSegmentationd`.

    Args:
        keys: probabilities `(class, slice, y, x)`.
    """

    def voxels(self, values: Tensor) -> NDArray[Any]:
        """Uncertainty, without the axis of classes."""
        return np.asarray(uncertainty(values, axis=0).cpu(), np.float32)
