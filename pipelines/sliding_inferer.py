"""Whole volumes through a network that takes windows of them."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import Tensor, nn

from kseg.networks.inference import for_inference
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.segmentation import convolution_dtype
from kseg.pipelines.temperature import at_temperature


class SlidingInferer(Inferer):
    """Segment a volume window by window; where windows overlap, their logits are blended.

    Args:
        roi_size: size of a window, voxels along (slice, y, x); 0 for the whole extent.
        overlap: share of a window that it has in common with the next, in [0, 1).
        flip: as in `InferenceOptions`; left and right lie along x.
        temperature: as in `InferenceOptions`.
        precision: as in `InferenceOptions`.

    Raises:
        ValueError: as `InferenceOptions`.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        overlap: float = 0.25,
        flip: bool = False,
        temperature: float = 1.0,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.options = InferenceOptions(flip, temperature, precision)
        self.windows = SlidingWindowInferer(roi_size, overlap=overlap, mode="gaussian")

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Segment volumes.

        Args:
            inputs: `(batch, channel, slice, y, x)`.
            network: in evaluation mode; gives logits `(batch, class, slice, y, x)`.
            args: nothing.
            kwargs: nothing.

        Returns:
            Class probabilities, `(batch, class, slice, y, x)`, float32.

        Raises:
            ValueError: further arguments, a network in training mode, or results that are not finite.
        """
        if args or kwargs:
            received = f"{len(args) + len(kwargs)} further arguments"
            raise ValueError(f"sliding inferer: expected volumes alone, received {received}")
        device = inputs.device
        dtype = convolution_dtype(self.options, device)
        fast = for_inference(network, dtype)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            probabilities = self._probabilities(inputs, fast)
            if self.options.flip:
                probabilities = (probabilities + self._probabilities(inputs.flip(-1), fast).flip(-1)) / 2
        if not probabilities.isfinite().all():
            raise ValueError("network: expected finite results, received some that are not")
        return at_temperature(probabilities, self.options.temperature, 1)

    def _probabilities(self, inputs: Tensor, network: nn.Module) -> Tensor:
        logits: Tensor = self.windows(inputs, network)  # type: ignore[assignment]
        return logits.float().softmax(1)
