"""How a network is called during training and evaluation."""

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor


class AutocastInferer(SimpleInferer):
    """Call a network under automatic mixed precision on any device.

    MONAI's engines only know the mixed precision of CUDA; processors with bfloat16 units gain as much. Not with
    float16, in which small gradients vanish unless the loss is scaled.

    Args:
        device: where the network runs.
        dtype: `bfloat16` for mixed precision, `float32` for none.

    Raises:
        ValueError: another dtype.
    """

    def __init__(self, device: str | torch.device = "cpu", dtype: str = "bfloat16") -> None:
        super().__init__()
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(f"autocast: expected float32 or bfloat16, received {dtype!r}")
        self.device_type = torch.device(device).type
        self.dtype: torch.dtype = getattr(torch, dtype)

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Result of the network, float32 or as the network returns it."""
        with torch.autocast(self.device_type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return network(inputs, *args, **kwargs)
