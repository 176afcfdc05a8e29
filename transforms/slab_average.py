"""Thin slices to thick ones: each larger voxel is the mean of what lies in it."""

import math
from collections.abc import Hashable, Sequence

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from kseg.transforms.dictionary import Item
from kseg.transforms.errors import InputError

_MOST_VOXELS = 100_000_000


class AverageToSpacingd(MapTransform):
    """Average along each axis over the voxel of a coarser grid, so that the image can be sampled at that spacing.

    `Spacingd` takes points of the image: of slices of 1 mm, two in three would not count at 3 mm. Axes whose voxels
    are as large or larger stay as they are.

    A volume that would become too large at that spacing is refused before that: it has been scanned far more
    coarsely, or its voxel sizes are in another unit.

    Args:
        keys: MetaTensors `(channel, ...)` with an affine.
        spacing_mm: voxel size of the coarser grid, millimetres, one for each axis behind the channels.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: a size that is not positive.
        InputError: in a call, an image that would have more than 1e8 voxels at that spacing.
    """

    def __init__(
        self, keys: KeysCollection, spacing_mm: Sequence[float], allow_missing_keys: bool = False
    ) -> None:
        if not all(size > 0 for size in spacing_mm):
            raise ValueError(f"spacing: expected positive sizes in millimetres, received {list(spacing_mm)}")
        super().__init__(keys, allow_missing_keys)
        self.spacing_mm = tuple(spacing_mm)

    def __call__(self, data: Item) -> dict[Hashable, Tensor]:
        """Return a copy of the item with averaged images."""
        item = dict(data)
        for key in self.key_iterator(item):
            image: MetaTensor = item[key]
            self._require_moderate(image)
            values = image.as_tensor()
            for axis, (target, size) in enumerate(
                zip(self.spacing_mm, image.pixdim.tolist(), strict=True), start=1
            ):
                values = box_average(values, axis, target / size)
            item[key] = MetaTensor(values, meta=image.meta, applied_operations=image.applied_operations)
        return item

    def _require_moderate(self, image: MetaTensor) -> None:
        sizes = image.pixdim.tolist()
        counts = [
            max(1, round(count * size / target))
            for count, size, target in zip(image.shape[1:], sizes, self.spacing_mm, strict=True)
        ]
        if math.prod(counts) > _MOST_VOXELS:
            path = image.meta.get("filename_or_obj", "image")
            at = _product(self.spacing_mm)
            expected = f"at most {_MOST_VOXELS:g} voxels once they are {at} mm"
            received = f"{_product(counts)} of voxels that are {_product(sizes)} mm"
            raise InputError(path, "resample", expected, received)


def _product(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def box_average(values: Tensor, axis: int, width: float) -> Tensor:
    """Mean over a box along one axis, centred on each voxel; at the ends over the part that is there.

    Args:
        values: any shape; integers become float32.
        axis: along which.
        width: of the box, voxels; up to 1 leaves the values as they are.

    Example:
        >>> box_average(torch.tensor([0.0, 0.0, 3.0, 0.0, 0.0]), axis=0, width=3.0)
        tensor([0., 1., 1., 1., 0.])
    """
    if not (values.is_floating_point() or values.is_complex()):
        values = values.float()
    if width <= 1:
        return values
    reach = math.ceil((width - 1) / 2)
    box = torch.ones(2 * reach + 1, dtype=values.dtype, device=values.device)
    box[0] = box[-1] = (width - (2 * reach - 1)) / 2
    lines = values.movedim(axis, -1)
    flat = lines.reshape(-1, 1, lines.shape[-1])
    kernel = box[None, None]
    share = F.conv1d(torch.ones_like(flat[:1]), kernel, padding=reach)
    return (F.conv1d(flat, kernel, padding=reach) / share).reshape(lines.shape).movedim(-1, axis)
