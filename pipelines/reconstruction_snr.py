"""How far reconstructed images are from the truth, in decibels."""

import math

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from torch import Tensor


class ReconstructionSNR(Metric):
    """Signal-to-noise ratio of reconstructed images: 10 log10(sum |r|^2 / sum |p - r|^2) over all slices, decibels.

    What differs from the reference counts as noise. Several processes add up what each has seen. An evaluator's
    `pred` is the image, its `label` the reference.
    """

    def __init__(self) -> None:
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all slices."""
        self._power = torch.zeros((), dtype=torch.float64)
        self._error = torch.zeros((), dtype=torch.float64)

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Add slices.

        Args:
            output: images and references, real and imaginary part, `(batch, 2, y, x)`.
        """
        image, reference = (values.detach().double() for values in output)
        self._power += reference.square().sum().cpu()
        self._error += (image - reference).square().sum().cpu()

    @sync_all_reduce("_power", "_error")
    def compute(self) -> float:
        """Ratio in decibels; not a number before any slice, infinity without error. All processes have to call it."""
        power, error = float(self._power), float(self._error)
        if power == 0:
            return math.nan
        return 10 * math.log10(power / error) if error else math.inf
