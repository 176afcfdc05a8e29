"""A U-Net for volumes with attention blocks at any of its levels."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kseg.networks.encoder_decoder import Decoder, Encoder
from kseg.networks.non_local import NonLocalBlock
from kseg.networks.slice_attention import RecurrentSliceAttention

ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "recurrent_slice": RecurrentSliceAttention,
    "recurrent_slice_product": partial(RecurrentSliceAttention, similarity="product"),
    "non_local": NonLocalBlock,
}


class AttentionUNet(nn.Module):
    """3-D U-Net with attention: RSA-101 and its like.

    Kernels and pooling follow the size of the voxels: an axis along which voxels are twice as long as along the
    finest one, or longer, is neither convolved nor pooled until the others have come up to it. With voxels of
    3 x 0.7 x 0.7 mm and four levels, those of the second lowest are 3 x 2.8 x 2.8 mm, of the bottom 6 x 5.6 x 5.6.

    Under one seed all variants start with the same backbone and the same output, since attention starts as the
    identity.

    Args:
        n_in: input channels, such as the contrasts.
        n_classes: classes, background included.
        channels: channels of each level, finest first.
        attention: `recurrent_slice` (RSA), `recurrent_slice_product` (RSA with the similarity that the paper prints)
            or `non_local` (NCL).
        places: 1 for a block, 0 for none, level by level from the encoder over the bottom, which is the middle digit,
            to the decoder; levels beyond both ends have none. `101` is the encoder and the decoder of the
            second lowest level, `000` the plain U-Net, `1000000` of four levels the finest one of the encoder.
        spacing_mm: size of the voxels, `(slice, y, x)`.
        norm: `batch` or `instance` normalisation, see `kseg.networks.encoder_decoder.NORMALIZATIONS`.

    Raises:
        ValueError: an unknown attention, place or normalisation, or fewer than two levels.

    Reference:
        Zhang et al. 2019, RSANet: recurrent slice-wise attention network for multiple sclerosis lesion segmentation,
        Section 3.1; Cicek et al. 2016, 3D U-Net.
    """

    def __init__(
        self,
        n_in: int = 3,
        n_classes: int = 2,
        channels: tuple[int, ...] | list[int] = (16, 32, 64, 128),
        attention: str = "recurrent_slice",
        places: str = "101",
        spacing_mm: tuple[float, float, float] | list[float] = (3.0, 0.7, 0.7),
        norm: str = "batch",
    ) -> None:
        _check(attention, places, len(channels))
        super().__init__()
        channels = tuple(channels)
        self.n_in = n_in
        kernels, strides = _kernels_and_strides(len(channels), tuple(spacing_mm))
        self.multiples = torch.tensor(strides).prod(dim=0).tolist()
        self.encoder = Encoder(n_in, channels, kernels, strides, norm)
        self.decoder = Decoder(channels, n_classes, kernels, strides, norm)
        levels = [*self.encoder.levels, *self.decoder.levels]
        widths = [*channels, *reversed(channels[:-1])]
        for level, width, place in zip(levels, widths, places.center(len(levels), "0"), strict=True):
            if place == "1":
                level.add_module("attention", ATTENTION[attention](width))

    def forward(self, x: Tensor) -> Tensor:
        """Segment volumes.

        Args:
            x: `(batch, n_in, slice, y, x)`, any number of slices, y and x: zeros are appended up to `multiples`. A
                graph that PyTorch's dynamo exporter makes takes the multiples themselves, any number of them.

        Returns:
            Logits `(batch, class, slice, y, x)`, float32.

        Raises:
            ValueError: another number of axes or of channels.
        """
        if x.dim() != 5 or x.shape[1] != self.n_in:
            raise ValueError(
                f"AttentionUNet: expected (batch, {self.n_in}, slice, y, x), received {list(x.shape)}"
            )
        n_slices, n_y, n_x = x.shape[2], x.shape[3], x.shape[4]
        of_slices, of_y, of_x = self.multiples
        padded = F.pad(x, [0, -n_x % of_x, 0, -n_y % of_y, 0, -n_slices % of_slices])
        logits: Tensor = self.decoder(self.encoder(padded))[:, :, :n_slices, :n_y, :n_x]
        return logits.to(torch.float32)


def _check(attention: str, places: str, n_levels: int) -> None:
    if attention not in ATTENTION:
        raise ValueError(f"AttentionUNet: expected attention {', '.join(ATTENTION)}, received {attention!r}")
    if n_levels < 2:
        raise ValueError(f"AttentionUNet: expected channels of at least 2 levels, received {n_levels}")
    most = 2 * n_levels - 1
    if not isinstance(places, str) or set(places) - {"0", "1"} or len(places) not in range(1, most + 1, 2):
        raise ValueError(
            f"AttentionUNet: expected places such as '101', an odd number of 1 to {most} digits, received {places!r}"
        )


def _kernels_and_strides(
    n_levels: int, spacing_mm: tuple[float, ...]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Kernel of each level, and pooling from each level to the next."""
    kernels, strides = [], []
    for _ in range(n_levels):
        fine = [size < 2 * min(spacing_mm) for size in spacing_mm]
        kernels.append(tuple(3 if each else 1 for each in fine))
        strides.append(tuple(2 if each else 1 for each in fine))
        spacing_mm = tuple(size * stride for size, stride in zip(spacing_mm, strides[-1], strict=True))
    return kernels, strides[:-1]
