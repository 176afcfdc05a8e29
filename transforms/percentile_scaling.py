"""Intensities between two percentiles, brought to 0 and 1."""

import math
from collections.abc import Hashable

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms.utils_pytorch_numpy_unification import percentile
from torch import Tensor

from kseg.transforms.dictionary import Item


class ScaleBetweenPercentilesd(MapTransform):
    """Bring each channel linearly to 0 at its lower and to 1 at its upper percentile; nothing is cut off.

    MONAI's `ScaleIntensityRangePercentilesd` lets a channel without such a range pass as it is, in other units than
    the network was trained with.

    Args:
        keys: images `(channel, ...)`; integers become float32.
        lower: percentile that becomes 0, in percent.
        upper: percentile that becomes 1, in percent.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: percentiles that do not rise within 0..100; in a call, a channel whose percentiles are equal or
            not finite, by its number from 1.

    Example:
        >>> scale = ScaleBetweenPercentilesd("image", lower=0.0, upper=100.0)
        >>> scale({"image": torch.tensor([[2.0, 4.0, 3.0]])})["image"]
        tensor([[0.0000, 1.0000, 0.5000]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        lower: float = 0.5,
        upper: float = 99.5,
        allow_missing_keys: bool = False,
    ) -> None:
        if not 0 <= lower < upper <= 100:
            raise ValueError(f"percentiles: expected two that rise within 0..100, received {lower}, {upper}")
        super().__init__(keys, allow_missing_keys)
        self.lower = lower
        self.upper = upper

    def __call__(self, data: Item) -> dict[Hashable, Tensor]:
        """Return a copy of the item with scaled images."""
        item = dict(data)
        for key in self.key_iterator(item):
            image: Tensor = item[key]
            if not image.is_floating_point():
                image = image.float()
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            ranges = [self._range(number, channel) for number, channel in enumerate(plain, start=1)]
            shape = (-1, *[1] * (image.ndim - 1))
            low, high = (torch.tensor(ends).to(plain).reshape(shape) for ends in zip(*ranges, strict=True))
            item[key] = (image - low) / (high - low)
        return item

    def _range(self, number: int, channel: Tensor) -> tuple[float, float]:
        low, high = (float(percentile(channel, share)) for share in (self.lower, self.upper))
        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"image {number}: expected values that differ between the percentiles {self.lower:g} and "
                f"{self.upper:g}, received {low:g} and {high:g}"
            )
        return low, high
