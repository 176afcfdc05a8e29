"""Oversampling of the readout: a field of view twice as wide, of which the outer parts are thrown away."""

import torch
from torch import Tensor

from kseg.transforms.fourier import fft2c, ifft2c


def remove_oversampling(kspace: Tensor, n_y: int) -> Tensor:
    """Cut the field of view along the readout to its central voxels; voxels keep their size and their values.

    White noise keeps its level. Lines that are empty stay so.

    Args:
        kspace: complex, `(slice coil y x)`, its readouts complete.
        n_y: voxels that are kept.

    Returns:
        k-space `(slice coil n_y x)`.

    Raises:
        ValueError: more voxels than there are, or none.

    Example:
        >>> image = torch.tensor([0.0, 0, 1, 2, 3, 4, 0, 0], dtype=torch.complex64).reshape(1, 1, 8, 1)
        >>> ifft2c(remove_oversampling(fft2c(image), 4)).real.flatten().round(decimals=3)
        tensor([1., 2., 3., 4.])
    """
    n_samples = kspace.shape[-2]
    if not 1 <= n_y <= n_samples:
        raise ValueError(f"readout: expected 1..{n_samples} voxels to keep, received {n_y}")
    if n_y == n_samples:
        return kspace
    return torch.stack([_cut(each, kept_voxels(n_samples, n_y)) for each in kspace])


def kept_voxels(n_samples: int, n_y: int) -> slice:
    """Voxels of an image with `n_samples` of them that `remove_oversampling` keeps.

    Args:
        n_samples: voxels before.
        n_y: voxels that are kept, around index `n_samples // 2`.

    Example:
        >>> kept_voxels(640, 320)
        slice(160, 480, None)
    """
    first = n_samples // 2 - n_y // 2
    return slice(first, first + n_y)


def thin_mask(sampled: Tensor, n_y: int) -> Tensor:
    """Say which samples of k-space are known when the oversampling is removed.

    A sample is known if the one next to its place was measured. Where readouts end early, the few samples at the end
    are less exact than the others: each is a sum over many that were measured.

    Args:
        sampled: bool, `(slice y x)`.
        n_y: voxels that are kept.

    Returns:
        Mask `(slice n_y x)`.

    Example:
        >>> thin_mask(torch.tensor([0, 0, 0, 1, 1, 1, 1, 1]).bool().reshape(1, 8, 1), 4).flatten()
        tensor([False, False,  True,  True])
    """
    n_samples = sampled.shape[-2]
    place = (torch.arange(n_y) - n_y // 2) * n_samples / n_y + n_samples // 2
    return sampled[..., place.round().long().clamp(0, n_samples - 1), :]


def _cut(kspace: Tensor, kept: slice) -> Tensor:
    # A last axis of length 1 makes the transform one along the readout.
    along_readout = kspace.transpose(-1, -2).unsqueeze(-1)
    return fft2c(ifft2c(along_readout)[..., kept, :]).squeeze(-1).transpose(-1, -2).contiguous()
