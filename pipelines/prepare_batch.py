"""What of a batch a network is trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class PrepareBatch:
    """Take the network's input and the truth of its loss from a batch.

    Args:
        targets: keys of the truth; one gives a tensor, several a tuple in their order.

    Raises:
        ValueError: no key.
    """

    def __init__(self, targets: Sequence[str] = ("label",)) -> None:
        if not targets:
            raise ValueError("prepare batch: expected at least one target, received none")
        self.targets = tuple(targets)

    def __call__(
        self,
        batch: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
    ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        """Input and truth on a device.

        Args:
            batch: `image` and the targets, each `(batch, ...)`.
            device: where the network is.
            non_blocking: copy while the device works.

        Raises:
            ValueError: a target that the batch does not hold.
        """
        missing = [key for key in ("image", *self.targets) if key not in batch]
        if missing:
            expected, received = ", ".join(missing), ", ".join(batch)
            raise ValueError(f"prepare batch: expected {expected} in the batch, received {received}")
        image, *truth = (
            torch.as_tensor(batch[key]).to(device, non_blocking=non_blocking)
            for key in ("image", *self.targets)
        )
        return image, truth[0] if len(truth) == 1 else tuple(truth)
