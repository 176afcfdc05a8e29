"""A scan without its scale and its global phase, and back."""

import torch
from torch import Tensor

from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import ifft2c


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
    image = _zero_filled(kspace, maps)
    magnitude = image.abs()
    # The bounds of an empty scan; their product is still a float32 above zero.
    scale = torch.sqrt(magnitude.square().mean(dim=(1, 2, 3), keepdim=True)).clamp(min=1e-18)
    direction = (image / scale * magnitude / scale).sum(dim=(1, 2, 3), keepdim=True)
    factor = direction.conj() / (direction.abs().clamp(min=1e-18) * scale)
    return complex_to_channels(kspace * factor), mask, complex_to_channels(image * factor), factor


def neighbour_images(kspace: Tensor, n_coils: int, factor: Tensor, maps: Tensor | None = None) -> Tensor:
    """Zero-filled images of the neighbours of a slice, in the scale and phase of its normalised image.

    Args:
        kspace: real, then imaginary parts of the coils, of one neighbour after the other,
            `(batch, neighbour * 2 coil, y, x)`.
        n_coils: receive coils.
        factor: what `normalize_scan` multiplied the slice with, complex, `(batch, 1, 1, 1)`.
        maps: sensitivities of the slice, `(batch, 2 coil, y, x)`; across a slice or two they hardly change.

    Returns:
        Real and imaginary part of one after the other, `(batch, 2 neighbour, y, x)`.
    """
    images: list[Tensor] = []
    for first in range(0, kspace.shape[1], 2 * n_coils):
        coils = channels_to_complex(kspace[:, first : first + 2 * n_coils])
        images.append(complex_to_channels(_zero_filled(coils, maps) * factor))
    return torch.cat(images, dim=1)


def restore_scale(image: Tensor, factor: Tensor) -> Tensor:
    """Give a normalised image the unit and the phase of its scan.

    Args:
        image: real and imaginary part, `(batch, 2, y, x)`.
        factor: what `normalize_scan` multiplied with, complex, `(batch, 1, 1, 1)`; 0 for an empty scan, whose
            image becomes zero.
    """
    inverse = factor.conj() / factor.abs().square().clamp(min=1e-36)
    return complex_to_channels(channels_to_complex(image.float()) * inverse)


def _zero_filled(kspace: Tensor, maps: Tensor | None) -> Tensor:
    """Image `(batch, 1, y, x)` of the coils' k-space `(batch, coil, y, x)`, complex."""
    image = ifft2c(kspace)
    if maps is not None:
        image = (image * channels_to_complex(maps).conj()).sum(1, keepdim=True)
    return image
