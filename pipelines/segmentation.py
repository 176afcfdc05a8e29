"""Segment the slices of one volume with a network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.networks.inference import for_inference, inference_dtype
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.inference_options import InferenceOptions
from kseg.transforms.mirror import mirror_x
from kseg.transforms.neighbours import slices_input

_PIXELS_AT_ONCE = 80_000
"""Two slices of the default scan: few enough for a processor's cache, where eight take 1.6 times as long."""
_SMALLEST = 1e-15


@dataclass(frozen=True, eq=False)
class SegmentedVolume:
    """What a network makes of a volume.

    Attributes:
        images: magnitude of the image of each pass, normalised, `(pass, slice, y, x)`.
        probabilities: class probabilities of each pass, `(pass, slice, class, y, x)`.
    """

    images: Tensor
    probabilities: Tensor


def segment_volume(
    network: KSpaceSegmenter,
    kspace: Tensor,
    mask: Tensor,
    options: InferenceOptions | None = None,
    *,
    all_passes: bool = False,
) -> SegmentedVolume:
    """Segment a volume, a few slices at a time, each with the neighbours that the network wants.

    Args:
        network: in evaluation mode.
        kspace: `(slice, coil, y, x)`, complex64.
        mask: bool, `(x,)`, `(slice, x)` or `(slice, y, x)`, True where sampled.
        options: how the network is used; the defaults of `InferenceOptions` if not given.
        all_passes: keep the results of all recurrences, not of the last alone.

    Raises:
        ValueError: coils that the network does not take, values whose squares leave the range of float32, or
            results that are not finite.
    """
    options = options or InferenceOptions()
    n_slices, n_coils, n_y, n_x = kspace.shape
    if n_coils != network.n_coils:
        raise ValueError(f"network: expected k-space of {network.n_coils} coil(s), received {n_coils}")
    largest = float(kspace.abs().max())
    if not _SMALLEST < largest < 1 / _SMALLEST:
        expected = f"k-space whose largest magnitude lies between {_SMALLEST:g} and {1 / _SMALLEST:g}"
        raise ValueError(f"network: expected {expected}, received {largest:g}")
    device = next(network.parameters()).device
    dtype = convolution_dtype(options, device)
    fast = for_inference(network, dtype)
    per_slice = mask if mask.ndim == 3 else mask.expand(n_slices, n_x)[:, None]
    batches = torch.arange(n_slices).split(max(1, _PIXELS_AT_ONCE // (n_y * n_x)))
    kept = slice(0 if all_passes else -1, None)
    images, probabilities = [], []
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        for few in batches:
            x = slices_input(kspace, per_slice, few.tolist(), network.n_neighbours).to(device)
            found = _passes(fast, x, kept, options.temperature)
            if options.flip:
                mirrored = _passes(fast, mirror_x(x), kept, options.temperature)
                found = [(one + mirror_x(other)) / 2 for one, other in zip(found, mirrored, strict=True)]
            images.append(torch.linalg.vector_norm(found[0], dim=2).cpu())
            probabilities.append(found[1].cpu())
    result = SegmentedVolume(torch.cat(images, dim=1), torch.cat(probabilities, dim=1))
    if not result.probabilities.isfinite().all():
        raise ValueError("network: expected finite probabilities, received NaN")
    return result


def convolution_dtype(options: InferenceOptions, device: torch.device) -> torch.dtype:
    """Precision of the convolutions on a device; `auto` chooses."""
    if options.precision == "auto":
        return inference_dtype(device)
    return torch.bfloat16 if options.precision == "bfloat16" else torch.float32


def _passes(network: KSpaceSegmenter, x: Tensor, kept: slice, temperature: float) -> list[Tensor]:
    """Images `(pass, slice, 2, y, x)` and class probabilities `(pass, slice, class, y, x)` of the kept passes."""
    images, logits = network.unroll(x)
    probabilities = [(each / temperature).softmax(1) for each in logits[kept]]
    return [torch.stack(images[kept]), torch.stack(probabilities)]
