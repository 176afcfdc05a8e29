"""SegNetMRI: reconstruction blocks that share their encoders with segmenters."""

import torch
from torch import Tensor, nn

from kseg.networks.encoder_decoder import Decoder, Encoder, pad_to_multiple
from kseg.networks.kspace_segmenter import KSpaceSegmenter, UnrolledReconstruction
from kseg.networks.normalization import normalize_scan


class CascadeSegmenter(nn.Module):
    """Segmenter on the features of a cascade block: a U-Net on all of them.

    A cascade sees no further than its convolutions reach; what an encoder's coarser levels would give, the
    segmenter makes itself.

    Args:
        n_in: channels of all features together.
        n_out: output channels (classes).
        channels: channels of each level, finest first.
        norm: one of `NORMALIZATIONS`.
    """

    def __init__(self, n_in: int, n_out: int, channels: tuple[int, ...], norm: str = "batch") -> None:
        super().__init__()
        self.multiple = 2 ** (len(channels) - 1)
        self.encoder = Encoder(n_in, channels, norm=norm)
        self.decoder = Decoder(channels, n_out, norm=norm)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits `(batch, n_out, y, x)`, y and x padded; features as `CascadeBlock.encode` returns them."""
        padded = pad_to_multiple(torch.cat(features, dim=1), self.multiple)
        logits: Tensor = self.decoder(self.encoder(padded))
        return logits


class SegNetMRI(KSpaceSegmenter):
    """Reconstruction and segmentation that share encoders, block by block.

    The features from which a block corrects the image also go to a decoder that segments. The masks of all
    blocks are merged to the final one by a 1 x 1 convolution, which starts as their mean. The result depends
    neither on the scale nor on the global phase of the k-space, as with SERANet.

    Args:
        n_blocks: reconstruction blocks, each with a decoder that segments.
        block: `autoencoder` (type B), whose encoder is shared as the paper describes it, or `cascade` (type A),
            whose convolutions are.
        n_classes: classes, background included.
        n_filters: width of the reconstruction blocks and of the decoders.
        consistency_weight: None for hard data consistency, else the initial weight of the soft one.
        norm: `batch` or `instance` normalisation, see `kseg.networks.encoder_decoder.NORMALIZATIONS`.

    Raises:
        ValueError: counts below their minimum, or an unknown kind of block or normalisation.

    Reference:
        Sun et al., Joint CS-MRI reconstruction and segmentation with a unified deep network, 2018.
    """

    def __init__(
        self,
        n_blocks: int = 5,
        block: str = "autoencoder",
        n_classes: int = 4,
        n_filters: int = 64,
        consistency_weight: float | None = None,
        norm: str = "batch",
    ) -> None:
        if n_blocks < 1 or n_classes < 2:
            raise ValueError(
                f"SegNetMRI: expected blocks >= 1, classes >= 2, received {n_blocks}, {n_classes}"
            )
        super().__init__(UnrolledReconstruction(n_blocks, block, n_filters, consistency_weight, norm))
        self.decoders = nn.ModuleList(_decoder(block, n_filters, n_classes, norm) for _ in range(n_blocks))
        self.merge = nn.Conv2d(n_blocks * n_classes, n_classes, 1)
        _start_as_mean(self.merge)

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Segment k-space and keep every intermediate result; arguments as `forward`.

        Returns:
            Images `(batch, 2, y, x)`, normalised, and logits `(batch, class, y, x)`, of each block; as last pass
            the image of the last block again, with the merged logits.
        """
        self._check(x, maps)
        kspace, mask, image = normalize_scan(x, maps)[:3]
        n_y, n_x = image.shape[-2], image.shape[-1]
        images: list[Tensor] = []
        all_logits: list[Tensor] = []
        for block, consistency, decoder in zip(  # noqa: B905 (scripting knows no strict)
            self.reconstruction.blocks, self.reconstruction.consistency, self.decoders
        ):
            encoded = block.encode(image)
            all_logits.append(decoder(encoded)[:, :, :n_y, :n_x].to(torch.float32))
            image = consistency(block.decode(encoded, image), kspace, mask, maps)
            images.append(image)
        images.append(image)
        all_logits.append(self.merge(torch.cat(all_logits, dim=1)).to(torch.float32))
        return images, all_logits


def _decoder(block: str, n_filters: int, n_classes: int, norm: str) -> nn.Module:
    channels = (n_filters, 2 * n_filters, 4 * n_filters)
    return (
        CascadeSegmenter(4 * n_filters, n_classes, channels, norm)
        if block == "cascade"
        else Decoder(channels, n_classes, norm=norm)
    )


def _start_as_mean(merge: nn.Conv2d) -> None:
    """Let a 1 x 1 convolution average groups of as many channels as it gives."""
    n_out, n_in = merge.weight.shape[:2]
    assert merge.bias is not None
    with torch.no_grad():
        merge.weight.copy_(torch.eye(n_out).repeat(1, n_in // n_out)[:, :, None, None] * (n_out / n_in))
        merge.bias.zero_()
