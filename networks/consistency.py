"""Data consistency: the estimate keeps, or leans towards, what was measured."""

import math

import torch
from torch import Tensor, nn

from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import fft2c, ifft2c


class DataConsistency(nn.Module):
    """Replace the sampled part of an image's k-space by the measurement.

    Hard: x_dc = F^-1(y + (1 - m) F(x)). Soft: at the samples, (1 - w) F(x) + w y with one learned w in (0, 1),
    so that noise in the measurement need not be kept. With several coils F(x) is the k-space of every coil
    image s_j x, and the corrected coil images are combined with the conjugate sensitivities.

    Args:
        weight: None for hard consistency, else the initial w of the soft one, in (0, 1).

    Raises:
        ValueError: weight outside (0, 1).

    Reference:
        Huang et al., End-to-end segmentation with recurrent attention neural network, Eq. 2; soft weight after
        Schlemper et al., A deep cascade of convolutional neural networks for MR image reconstruction, 2017.
    """

    def __init__(self, weight: float | None = None) -> None:
        super().__init__()
        if weight is not None and not 0 < weight < 1:
            raise ValueError(f"data consistency: expected None or a weight in (0, 1), received {weight}")
        logit = None if weight is None else torch.tensor(math.log(weight / (1 - weight)))
        self.logit = None if logit is None else nn.Parameter(logit)

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """Correct an image.

        Args:
            image: real and imaginary part, `(batch, 2, y, x)`.
            kspace: measurement, real then imaginary parts, `(batch, 2 coil, y, x)`, zero where not sampled.
            mask: 1 where sampled, 0 elsewhere, `(batch, 1, y, x)`.
            maps: sensitivities, real then imaginary parts, `(batch, 2 coil, y, x)`; for one coil not needed.

        Returns:
            Corrected image `(batch, 2, y, x)`, float32.
        """
        corrected = ifft2c(self.coil_kspace(image, kspace, mask, maps))
        if maps is not None:
            # Not coils.combine: ONNX cannot give complex data a new axis.
            corrected = (corrected * channels_to_complex(maps).conj()).sum(1, keepdim=True)
        return complex_to_channels(corrected)

    def coil_kspace(self, image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """Corrected k-space of every coil before combination, complex, `(batch, coil, y, x)`; arguments as above."""
        images = channels_to_complex(image.float())
        if maps is not None:
            images = images * channels_to_complex(maps)
        estimate = fft2c(images)
        measured = channels_to_complex(kspace)
        if self.logit is None:
            return measured + (1 - mask) * estimate
        return estimate + mask * torch.sigmoid(self.logit) * (measured - estimate)
