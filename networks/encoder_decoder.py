"""The two halves of a U-Net, shared by the auto-encoder block and the segmenter."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def double_convolution(n_in: int, n_out: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch normalisation and a rectifier."""
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [
            nn.Conv2d(channels, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Contracting half: a double convolution per level, maximum pooling between levels.

    Args:
        n_in: input channels.
        channels: channels of each level, finest first.
    """

    def __init__(self, n_in: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            double_convolution(n_from, n_to)
            for n_from, n_to in zip((n_in, *channels), channels, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of each level, finest first; y and x halve from level to level."""
        features: list[Tensor] = []
        for index, level in enumerate(self.levels):
            if index > 0:
                x = F.max_pool2d(x, 2)
            x = level(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """Expanding half: up-convolution, skip connection and a double convolution per level.

    Args:
        channels: channels of each level, finest first, as in the encoder.
        n_out: output channels of the final 1 x 1 convolution.
    """

    def __init__(self, channels: tuple[int, ...], n_out: int) -> None:
        super().__init__()
        pairs = list(zip(channels[-2::-1], channels[:0:-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.levels = nn.ModuleList(double_convolution(2 * fine, fine) for fine, _ in pairs)
        self.output = nn.Conv2d(channels[0], n_out, 1)

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
