"""The two halves of a U-Net for slices or volumes, shared by regularisation blocks and segmenters."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv, Pool
from torch import Tensor, nn

Sizes = Sequence[tuple[int, ...]]

NORMALIZATIONS = ("batch", "instance")
"""Batch normalisation costs nothing in inference, where it becomes part of the convolutions; instance normalisation
does in training what it does in inference, for batches of any size."""


def double_convolution(
    n_in: int, n_out: int, kernel: tuple[int, ...] = (3, 3), norm: str = "batch"
) -> nn.Sequential:
    """Two convolutions, each with a normalisation and a rectifier.

    Args:
        n_in: input channels.
        n_out: output channels.
        kernel: odd sizes of the kernel, one per axis: `(y, x)` or `(slice, y, x)`.
        norm: one of `NORMALIZATIONS`.

    Raises:
        ValueError: another normalisation.
    """
    dimensions = len(kernel)
    convolution = Conv[Conv.CONV, dimensions]
    padding = tuple(size // 2 for size in kernel)
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [
            convolution(channels, n_out, kernel, padding=padding, bias=False),
            _normalization(norm, n_out, dimensions),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class InstanceNorm(nn.Module):
    """Normalise each channel of each sample by its own mean and variance, then scale and shift it.

    What `torch.nn.InstanceNorm2d` and its like do, in half the time for training on single samples with channels
    last in memory, which they do not keep. They refuse a channel of a single value, which is its own mean and becomes
    the shift here: a small image has one at the coarsest level.

    Args:
        n_channels: channels.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised features; argument `(batch, channel, ...)`."""
        scale, shift, cudnn = self.weight, self.bias, torch.backends.cudnn.enabled
        # In training alone, so that an exported graph takes batches of any size.
        if self.training and x.shape[0] == 1:
            return torch.batch_norm(x, scale, shift, None, None, True, 0.1, 1e-5, cudnn)
        return torch.instance_norm(x, scale, shift, None, None, True, 0.1, 1e-5, cudnn)


class Encoder(nn.Module):
    """Contracting half: a double convolution per level, maximum pooling between levels.

    Args:
        n_in: input channels.
        channels: channels of each level, finest first.
        kernels: kernel of each level; None for slices, 3 x 3.
        strides: pooling from each level to the next; None for slices, 2 x 2.
        norm: one of `NORMALIZATIONS`.
    """

    def __init__(
        self,
        n_in: int,
        channels: tuple[int, ...],
        kernels: Sizes | None = None,
        strides: Sizes | None = None,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        kernels, strides = _of_levels(len(channels), kernels, strides)
        self.levels = nn.ModuleList(
            double_convolution(n_from, n_to, kernel, norm)
            for n_from, n_to, kernel in zip((n_in, *channels), channels, kernels, strict=False)
        )
        pools: list[nn.Module] = [Pool[Pool.MAX, len(stride)](stride) for stride in strides]
        self.pools = nn.ModuleList([nn.Identity(), *pools])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of each level, finest first."""
        features: list[Tensor] = []
        for pool, level in zip(self.pools, self.levels):  # noqa: B905 (scripting knows no strict)
            x = level(pool(x))
            features.append(x)
        return features


class Decoder(nn.Module):
    """Expanding half: up-convolution, skip connection and a double convolution per level.

    Args:
        channels: channels of each level, finest first, as in the encoder.
        n_out: output channels of the final 1 x 1 convolution.
        kernels: as in the encoder.
        strides: as in the encoder.
        norm: as in the encoder.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        n_out: int,
        kernels: Sizes | None = None,
        strides: Sizes | None = None,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        kernels, strides = _of_levels(len(channels), kernels, strides)
        dimensions = len(kernels[0])
        convolution, transposed = Conv[Conv.CONV, dimensions], Conv[Conv.CONVTRANS, dimensions]
        pairs = list(zip(channels[-2::-1], channels[:0:-1], strict=True))
        self.up = nn.ModuleList(
            transposed(coarse, fine, stride, stride=stride)
            for (fine, coarse), stride in zip(pairs, strides[::-1], strict=True)
        )
        self.levels = nn.ModuleList(
            double_convolution(2 * fine, fine, kernel, norm)
            for (fine, _), kernel in zip(pairs, kernels[-2::-1], strict=True)
        )
        self.output = convolution(channels[0], n_out, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Output at the finest level; features as the encoder returns them."""
        x = features[-1]
        for index, (up, level) in enumerate(zip(self.up, self.levels)):  # noqa: B905 (scripting knows no strict)
            x = level(torch.cat([features[-2 - index], up(x)], dim=1))
        output: Tensor = self.output(x)
        return output


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Append zeros behind y and x until both are multiples; the caller crops them off again."""
    n_y, n_x = x.shape[-2], x.shape[-1]
    return F.pad(x, [0, -n_x % multiple, 0, -n_y % multiple])


def _normalization(norm: str, n_channels: int, dimensions: int) -> nn.Module:
    if norm == "instance":
        return InstanceNorm(n_channels)
    if norm == "batch":
        return nn.BatchNorm2d(n_channels) if dimensions == 2 else nn.BatchNorm3d(n_channels)
    raise ValueError(f"normalisation: expected one of {', '.join(NORMALIZATIONS)}, received {norm!r}")


def _of_levels(n_levels: int, kernels: Sizes | None, strides: Sizes | None) -> tuple[Sizes, Sizes]:
    """Kernels and strides with those of slices filled in."""
    return kernels or n_levels * [(3, 3)], strides or (n_levels - 1) * [(2, 2)]
