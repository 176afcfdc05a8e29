"""SERANet: segmentation straight from under-sampled k-space with recurrent attention."""

import torch
from torch import Tensor, nn

from kseg.networks.attention import class_attention
from kseg.networks.consistency import DataConsistency
from kseg.networks.recurrent_unet import RecurrentUNet
from kseg.networks.regularizers import regularization_block
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import ifft2c


class UnrolledReconstruction(nn.Module):
    """Regularisation blocks, each followed by data consistency, each on the output of the one before.

    Args:
        n_blocks: number of blocks; 0 returns the image unchanged.
        block: `cascade` or `autoencoder`.
        n_filters: width of each block.
        consistency_weight: None for hard data consistency, else the initial weight of the soft one.
        n_in: input channels of each block.
    """

    def __init__(
        self, n_blocks: int, block: str, n_filters: int, consistency_weight: float | None, n_in: int = 2
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(regularization_block(block, n_in, n_filters) for _ in range(n_blocks))
        self.consistency = nn.ModuleList(DataConsistency(consistency_weight) for _ in range(n_blocks))

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """Image `(batch, 2, y, x)` after all blocks; arguments as `DataConsistency.forward`."""
        for block, consistency in zip(self.blocks, self.consistency):  # noqa: B905 (scripting knows no strict)
            image = consistency(block(image, image), kspace, mask, maps)
        return image


class AttentionReconstruction(nn.Module):
    """The block of the recurrence: attention by class, a regularisation block (AttReg), data consistency.

    Args:
        n_classes: classes of the segmentation.
        block: `cascade` or `autoencoder`.
        n_filters: width of the block.
        consistency_weight: None for hard data consistency, else the initial weight of the soft one.
    """

    def __init__(self, n_classes: int, block: str, n_filters: int, consistency_weight: float | None) -> None:
        super().__init__()
        self.block = regularization_block(block, 2 * n_classes, n_filters)
        self.consistency = DataConsistency(consistency_weight)

    def forward(
        self, image: Tensor, logits: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor | None = None
    ) -> Tensor:
        """Image `(batch, 2, y, x)` of the next recurrence, from the image and the logits of this one."""
        attention = class_attention(image, torch.softmax(logits, dim=1))
        next_image: Tensor = self.consistency(self.block(attention, image), kspace, mask, maps)
        return next_image


class SERANet(nn.Module):
    """Segmentation with an end-to-end recurrent attention network.

    An unrolled reconstruction feeds a segmenter; its class probabilities guide the reconstruction of the next
    image, which the same segmenter segments again with its memory of the passes before. No reference image is
    seen: the segmentation loss alone trains all parts. Without recurrences it is the paper's Joint model,
    without blocks and recurrences its Zero-filling model.

    The result depends neither on the scale nor on the global phase of the k-space: both are normalised inside.

    Args:
        n_blocks: reconstruction blocks.
        n_recurrences: passes of the attention; N in SERANet-N.
        block: `cascade` (type A) or `autoencoder` (type B).
        n_classes: classes, background included.
        n_coils: receive coils; more than one needs their sensitivities.
        n_filters: width of the reconstruction blocks.
        unet_channels: channels of each level of the segmenter, finest first.
        consistency_weight: None for hard data consistency (Eq. 2), else the initial weight of the soft one.

    Raises:
        ValueError: counts below their minimum, or an unknown kind of block.

    Reference:
        Huang, Chen and Nadar, End-to-end segmentation with recurrent attention neural network.
    """

    def __init__(
        self,
        n_blocks: int = 5,
        n_recurrences: int = 3,
        block: str = "cascade",
        n_classes: int = 4,
        n_coils: int = 1,
        n_filters: int = 64,
        unet_channels: tuple[int, ...] | list[int] = (64, 128, 256, 512),
        consistency_weight: float | None = None,
    ) -> None:
        super().__init__()
        if n_blocks < 0 or n_recurrences < 0 or n_classes < 2 or n_coils < 1:
            raise ValueError(
                "SERANet: expected blocks >= 0, recurrences >= 0, classes >= 2, coils >= 1, "
                f"received {n_blocks}, {n_recurrences}, {n_classes}, {n_coils}"
            )
        self.n_recurrences = n_recurrences
        self.n_coils = n_coils
        self.reconstruction = UnrolledReconstruction(n_blocks, block, n_filters, consistency_weight)
        self.segmenter = RecurrentUNet(2, n_classes, tuple(unet_channels))
        # A Joint model has no attention to train; a state dictionary without it says so.
        self.attention = (
            AttentionReconstruction(n_classes, block, n_filters, consistency_weight)
            if n_recurrences
            else None
        )

    def forward(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Segment k-space.

        Args:
            x: real parts of the coils, imaginary parts, sampling mask: `(batch, 2 coil + 1, y, x)`, float32.
            maps: sensitivities, real then imaginary parts, `(batch, 2 coil, y, x)`, with sum |s|^2 = 1.

        Returns:
            Logits of the last recurrence, `(batch, class, y, x)`.

        Raises:
            ValueError: channels that do not fit the number of coils, or missing sensitivities.
        """
        return self.unroll(x, maps)[1][-1]

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Segment k-space and keep every intermediate result; arguments as `forward`.

        Returns:
            Images `(batch, 2, y, x)`, normalised, and logits `(batch, class, y, x)`, of the first pass and of
            each recurrence.
        """
        self._check(x, maps)
        kspace, mask, image, _ = normalize_scan(x, maps)
        image = self.reconstruction(image, kspace, mask, maps)
        logits, state = self.segmenter(image)
        images, all_logits = [image], [logits]
        if self.attention is not None:
            for _ in range(self.n_recurrences):
                image = self.attention(image, logits, kspace, mask, maps)
                logits, state = self.segmenter(image, state)
                images.append(image)
                all_logits.append(logits)
        return images, all_logits

    @torch.jit.export
    def reconstruct(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Image `(batch, 2, y, x)` of the first pass, in the unit and phase of the scan; arguments as `forward`."""
        self._check(x, maps)
        kspace, mask, image, factor = normalize_scan(x, maps)
        return restore_scale(self.reconstruction(image, kspace, mask, maps), factor)

    def _check(self, x: Tensor, maps: Tensor | None) -> None:
        if x.ndim != 4 or x.shape[1] != 2 * self.n_coils + 1:
            raise ValueError(
                f"SERANet: expected (batch, {2 * self.n_coils + 1}, y, x) for {self.n_coils} coils, "
                f"received {list(x.shape)}"
            )
        if maps is None and self.n_coils > 1:
            raise ValueError(f"SERANet: expected sensitivities of {self.n_coils} coils, received none")
        if maps is not None and maps.shape != x[:, :-1].shape:
            raise ValueError(
                f"SERANet: expected sensitivities {list(x[:, :-1].shape)}, received {list(maps.shape)}"
            )


def normalize_scan(x: Tensor, maps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take scale and global phase out of a scan.

    The zero-filled image x0 is scaled to a root mean square of 1; its phase is turned so that
    sum x0 |x0| is real and positive. An all-zero scan stays zero.

    Args:
        x: network input, `(batch, 2 coil + 1, y, x)`.
        maps: sensitivities, `(batch, 2 coil, y, x)`.

    Returns:
        Normalised k-space `(batch, 2 coil, y, x)`, mask `(batch, 1, y, x)`, zero-filled image `(batch, 2, y, x)`,
        and the complex factor `(batch, 1, 1, 1)` that was applied; divided by it, an image has the unit and the
        phase of the scan again.
    """
    mask = x[:, -1:]
    kspace = channels_to_complex(x[:, :-1]) * mask
    image = ifft2c(kspace)
    if maps is not None:
        image = (image * channels_to_complex(maps).conj()).sum(1, keepdim=True)
    magnitude = image.abs()
    # The bounds of an empty scan; their product is still a float32 above zero.
    scale = torch.sqrt(magnitude.square().mean(dim=(1, 2, 3), keepdim=True)).clamp(min=1e-18)
    direction = (image / scale * magnitude / scale).sum(dim=(1, 2, 3), keepdim=True)
    factor = direction.conj() / (direction.abs().clamp(min=1e-18) * scale)
    return complex_to_channels(kspace * factor), mask, complex_to_channels(image * factor), factor


def restore_scale(image: Tensor, factor: Tensor) -> Tensor:
    """Give a normalised image the unit and the phase of its scan.

    Args:
        image: real and imaginary part, `(batch, 2, y, x)`.
        factor: what `normalize_scan` multiplied with, complex, `(batch, 1, 1, 1)`; 0 for an empty scan, whose
            image becomes zero.
    """
    inverse = factor.conj() / factor.abs().square().clamp(min=1e-36)
    return complex_to_channels(channels_to_complex(image.float()) * inverse)
