"""Segment the slices of one volume with a network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.networks.seranet import SERANet
from kseg.transforms.channels import network_input

_SLICES_AT_ONCE = 8


@dataclass(frozen=True)
class SegmentedVolume:
    """What a network makes of a volume.

    Attributes:
        images: magnitude of the image of each pass, normalised, `(pass, slice, y, x)`.
        probabilities: class probabilities of each pass, `(pass, slice, class, y, x)`.
    """

    images: Tensor
    probabilities: Tensor

    @property
    def labels(self) -> Tensor:
        """Most probable class of the last pass, `(slice, y, x)`, uint8."""
        return self.probabilities[-1].argmax(1).to(torch.uint8)


def segment_volume(
    network: SERANet, kspace: Tensor, mask: Tensor, *, all_passes: bool = False
) -> SegmentedVolume:
    """Segment a volume slice by slice.

    Args:
        network: in evaluation mode.
        kspace: `(slice, coil, y, x)`, complex64.
        mask: bool, `(x,)`, `(slice, x)` or `(slice, y, x)`, True where sampled.
        all_passes: keep the results of all recurrences, not of the last alone.

    Raises:
        ValueError: coils that the network does not take.
    """
    if kspace.shape[1] != network.n_coils:
        raise ValueError(
            f"network: expected k-space of {network.n_coils} coil(s), received {kspace.shape[1]} coils"
        )
    device = next(network.parameters()).device
    per_slice = mask.expand(len(kspace), -1)[:, None] if mask.ndim < 3 else mask
    images, probabilities = [], []
    with torch.inference_mode():
        for chunk, chunk_mask in zip(
            kspace.split(_SLICES_AT_ONCE), per_slice.split(_SLICES_AT_ONCE), strict=True
        ):
            passes, logits = network.unroll(network_input(chunk, chunk_mask).to(device))
            kept = slice(None) if all_passes else slice(-1, None)
            images.append(
                torch.stack([torch.linalg.vector_norm(image, dim=1).cpu() for image in passes[kept]])
            )
            probabilities.append(torch.stack([torch.softmax(values, dim=1).cpu() for values in logits[kept]]))
    return SegmentedVolume(torch.cat(images, dim=1), torch.cat(probabilities, dim=1))
