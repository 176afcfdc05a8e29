"""SERANet: segmentation straight from under-sampled k-space with recurrent attention."""

import torch
from torch import Tensor, nn

from kseg.networks.attention import class_attention
from kseg.networks.consistency import DataConsistency
from kseg.networks.kspace_segmenter import KSpaceSegmenter, UnrolledReconstruction, beside
from kseg.networks.normalization import normalize_scan
from kseg.networks.recurrent_unet import RecurrentUNet
from kseg.networks.regularizers import regularization_block


class AttentionReconstruction(nn.Module):
    """The block of the recurrence: attention by class, a regularisation block (AttReg), data consistency.

    Args:
        n_classes: classes of the segmentation.
        block: `cascade` or `autoencoder`.
        n_filters: width of the block.
        consistency_weight: None for hard data consistency, else the initial weight of the soft one.
        n_neighbours: neighbouring slices on each side.
        norm: one of `NORMALIZATIONS`; a cascade has none.
    """

    def __init__(
        self,
        n_classes: int,
        block: str,
        n_filters: int,
        consistency_weight: float | None,
        n_neighbours: int = 0,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.block = regularization_block(block, 2 * n_classes + 4 * n_neighbours, n_filters, norm)
        self.consistency = DataConsistency(consistency_weight)

    def forward(
        self,
        image: Tensor,
        logits: Tensor,
        kspace: Tensor,
        mask: Tensor,
        maps: Tensor | None = None,
        neighbours: Tensor | None = None,
    ) -> Tensor:
        """Image `(batch, 2, y, x)` of the next recurrence, from the image and the logits of this one."""
        features = beside(class_attention(image, torch.softmax(logits, dim=1)), neighbours)
        next_image: Tensor = self.consistency(self.block(features, image), kspace, mask, maps)
        return next_image


class SERANet(KSpaceSegmenter):
    """Segmentation with an end-to-end recurrent attention network.

    An unrolled reconstruction feeds a segmenter; its class probabilities guide the reconstruction of the next
    image, which the same segmenter segments again with its memory of the passes before. No reference image is
    seen: the segmentation loss alone trains all parts. Without recurrences it is the paper's Joint model,
    without blocks and recurrences its Zero-filling model.

    The result depends neither on the scale nor on the global phase of the k-space: both are normalised inside.

    Neighbouring slices, where there are any, help as images: segmenter and attention see those that their zero-filled
    k-space gives, in the scale and phase of the slice itself. Data consistency is that of the slice alone.

    Args:
        n_blocks: reconstruction blocks.
        n_recurrences: passes of the attention; N in SERANet-N.
        block: `cascade` (type A) or `autoencoder` (type B).
        n_classes: classes, background included.
        n_filters: width of the reconstruction blocks.
        unet_channels: channels of each level of the segmenter, finest first.
        consistency_weight: None for hard data consistency (Eq. 2), else the initial weight of the soft one.
        n_neighbours: neighbouring slices on each side.
        norm: `batch` or `instance` normalisation, see `kseg.networks.encoder_decoder.NORMALIZATIONS`.

    Raises:
        ValueError: counts below their minimum, or an unknown kind of block or normalisation.

    Reference:
        Huang, Chen and Nadar, End-to-end segmentation with recurrent attention neural network.
    """

    def __init__(
        self,
        n_blocks: int = 5,
        n_recurrences: int = 3,
        block: str = "cascade",
        n_classes: int = 4,
        n_filters: int = 64,
        unet_channels: tuple[int, ...] | list[int] = (64, 128, 256, 512),
        consistency_weight: float | None = None,
        n_neighbours: int = 0,
        norm: str = "batch",
    ) -> None:
        if n_blocks < 0 or n_recurrences < 0 or n_classes < 2 or n_neighbours < 0:
            raise ValueError(
                "SERANet: expected blocks >= 0, recurrences >= 0, classes >= 2, neighbours >= 0, "
                f"received {n_blocks}, {n_recurrences}, {n_classes}, {n_neighbours}"
            )
        reconstruction = UnrolledReconstruction(n_blocks, block, n_filters, consistency_weight, norm)
        super().__init__(reconstruction, n_neighbours)
        self.n_recurrences = n_recurrences
        self.segmenter = RecurrentUNet(2 + 4 * n_neighbours, n_classes, tuple(unet_channels), norm)
        # A Joint model has no attention to train; a state dictionary without it says so.
        self.attention = (
            AttentionReconstruction(n_classes, block, n_filters, consistency_weight, n_neighbours, norm)
            if n_recurrences
            else None
        )

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Segment k-space and keep every intermediate result; arguments as `forward`.

        Returns:
            Images `(batch, 2, y, x)`, normalised, and logits `(batch, class, y, x)`, of the first pass and of
            each recurrence.
        """
        self._check(x, maps)
        kspace, mask, image, factor = normalize_scan(self.own_scan(x), maps)
        neighbours = self._neighbours(x, maps, factor)
        image = self.reconstruction(image, kspace, mask, maps)
        logits, state = self.segmenter(beside(image, neighbours))
        images, all_logits = [image], [logits]
        if self.attention is not None:
            for _ in range(self.n_recurrences):
                image = self.attention(image, logits, kspace, mask, maps, neighbours)
                logits, state = self.segmenter(beside(image, neighbours), state)
                images.append(image)
                all_logits.append(logits)
        return images, all_logits
