"""Segment the slices of one volume with a network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.networks.inference import for_inference, inference_dtype
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.temperature import at_temperature
from kseg.transforms.channels import complex_to_channels
from kseg.transforms.coil_preparation import prepare_coils
from kseg.transforms.mirror import mirror_x
from kseg.transforms.neighbours import slices_input

_PIXELS_AT_ONCE = {"cpu": 80_000, "cuda": 1_280_000}
"""Two slices of the default scan: few enough for a processor's cache, where eight take 1.6 times as long. 32 fill a
GPU."""
_SMALLEST = 1e-15


@dataclass(frozen=True, eq=False)
class SegmentedVolume:
    """What a network makes of a volume.

    Attributes:
        images: magnitude of the image of each pass, normalised, `(pass, slice, y, x)`; none where images came in.
        probabilities: class probabilities of each pass, `(pass, slice, class, y, x)`.
        notes: what was done to the receive coils.
    """

    images: Tensor | None
    probabilities: Tensor
    notes: tuple[str, ...] = ()


def segment_volume(
    network: KSpaceSegmenter,
    kspace: Tensor,
    mask: Tensor,
    options: InferenceOptions | None = None,
    *,
    maps: Tensor | None = None,
    all_passes: bool = False,
) -> SegmentedVolume:
    """Segment a volume, a few slices at a time, each with the neighbours that the network wants.

    A scan of several coils is reconstructed with their sensitivities, by the same weights as one of a single coil.

    Args:
        network: in evaluation mode.
        kspace: `(slice, coil, y, x)`, complex64.
        mask: bool, `(x,)`, `(slice, x)` or `(slice, y, x)`, True where sampled.
        options: how the network is used; the defaults of `InferenceOptions` if not given.
        maps: sensitivities, complex, `(coil, slice, y, x)`; if not given, those of several coils are estimated, see
            `prepare_coils`.
        all_passes: keep the results of all recurrences, not of the last alone.

    Raises:
        ValueError: values whose squares leave the range of float32, sensitivities of another scan, several coils
            without a fully sampled centre, or results that are not finite.
    """
    options = options or InferenceOptions()
    n_slices, _, n_y, n_x = kspace.shape
    largest = float(kspace.abs().max())
    if not _SMALLEST < largest < 1 / _SMALLEST:
        expected = f"k-space whose largest magnitude lies between {_SMALLEST:g} and {1 / _SMALLEST:g}"
        raise ValueError(f"network: expected {expected}, received {largest:g}")
    device = next(network.parameters()).device
    dtype = convolution_dtype(options, device)
    fast = for_inference(network, dtype)
    per_slice = mask if mask.ndim == 3 else mask.expand(n_slices, n_x)[:, None]
    # Sensitivities are estimated on the processor, wherever the scan comes from.
    scan = prepare_coils(kspace.cpu(), per_slice.cpu(), None if maps is None else maps.cpu())
    kspace, per_slice = scan.kspace.to(device), per_slice.to(device)
    maps = None if scan.maps is None else scan.maps.to(device)
    kept = slice(0 if all_passes else -1, None)
    images, probabilities = [], []
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        for few in torch.arange(n_slices).split(slices_at_once(device, n_y * n_x)):
            x = slices_input(kspace, per_slice, few.tolist(), network.n_neighbours)
            own = None if maps is None else complex_to_channels(maps[:, few].movedim(1, 0))
            found = _passes(fast, (x, own), kept)
            if options.flip:
                mirror = mirror_x(x), None if own is None else mirror_x(own)
                mirrored = _passes(fast, mirror, kept)
                found = [(one + mirror_x(other)) / 2 for one, other in zip(found, mirrored, strict=True)]
            images.append(torch.linalg.vector_norm(found[0], dim=2))
            probabilities.append(at_temperature(found[1], options.temperature, 2))
    # One transfer from a device, which does not wait for the host in between.
    result = SegmentedVolume(torch.cat(images, 1).cpu(), torch.cat(probabilities, 1).cpu(), scan.notes)
    if not result.probabilities.isfinite().all():
        raise ValueError("network: expected finite probabilities, received NaN")
    return result


def slices_at_once(device: torch.device, n_pixels: int) -> int:
    """How many slices go through a network together.

    Args:
        device: where they do.
        n_pixels: of a slice.

    Example:
        >>> [slices_at_once(torch.device(name), 216 * 180) for name in ("cpu", "cuda")]
        [2, 32]
    """
    return max(1, _PIXELS_AT_ONCE.get(device.type, _PIXELS_AT_ONCE["cpu"]) // n_pixels)


def convolution_dtype(options: InferenceOptions, device: torch.device) -> torch.dtype:
    """Precision of the convolutions on a device; `auto` chooses."""
    if options.precision == "auto":
        return inference_dtype(device)
    return torch.bfloat16 if options.precision == "bfloat16" else torch.float32


def _passes(network: KSpaceSegmenter, inputs: tuple[Tensor, Tensor | None], kept: slice) -> list[Tensor]:
    """Images `(pass, slice, 2, y, x)` and class probabilities `(pass, slice, class, y, x)` of the kept passes."""
    images, logits = network.unroll(*inputs)
    probabilities = [each.softmax(1) for each in logits[kept]]
    return [torch.stack(images[kept]), torch.stack(probabilities)]
