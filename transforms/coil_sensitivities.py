"""Sensitivities of receive coils, estimated from the fully sampled centre of k-space."""

import torch
from torch import Tensor

from kseg.transforms.fourier import ifft2c

KERNEL = 4
"""Side of the neighbourhood in which samples of all coils depend on each other."""
SMALLEST, LARGEST = 8, 24
"""Samples along either axis of a region that is too small below, and no better above."""
_THRESHOLD = 0.06
_STEPS = 3


def calibration_region(mask: Tensor, n_y: int) -> tuple[slice, slice]:
    """Find the fully sampled rectangle around the centre of k-space that all slices share.

    Args:
        mask: bool, `(x,)`, `(slice, x)` or `(slice, y, x)`, True where sampled. Slices of which nothing was sampled
            do not count.
        n_y: length of the readout.

    Returns:
        Rows and columns of the largest rectangle, at most 24 of each.

    Raises:
        ValueError: no rectangle of 8 x 8 or more.

    Example:
        >>> lines = torch.arange(180) % 3 == 0
        >>> lines[82:98] = True
        >>> calibration_region(lines, 216)
        (slice(96, 120, None), slice(82, 98, None))
    """
    of_slices = mask if mask.ndim == 3 else mask.expand(n_y, -1)[None] if mask.ndim == 1 else mask[:, None]
    filled = of_slices[of_slices.flatten(1).any(dim=1)]
    common = filled.all(dim=0).expand(n_y, -1)
    sizes = [
        (n_rows, n_columns)
        for n_rows in range(SMALLEST, min(LARGEST, n_y) + 1)
        for n_columns in range(SMALLEST, min(LARGEST, common.shape[1]) + 1)
    ]
    for n_rows, n_columns in sorted(sizes, key=lambda size: size[0] * size[1], reverse=True):
        rows, columns = _central(n_y, n_rows), _central(common.shape[1], n_columns)
        if len(filled) and common[rows, columns].all():
            return rows, columns
    raise ValueError(
        f"coil sensitivities: expected at least {SMALLEST} x {SMALLEST} samples around the centre of k-space "
        f"(y, x), received fewer"
    )


def estimate_sensitivities(kspace: Tensor, region: tuple[slice, slice]) -> Tensor:
    """Estimate the sensitivities of coils from the centre of k-space (ESPIRiT, one set of maps).

    Small neighbourhoods of samples of all coils lie in a subspace; the sensitivities at a voxel are the eigenvector
    of its projection there whose eigenvalue is 1. Power iterations find it from the coil images of low resolution,
    whose common phase it keeps: the image that is combined with the maps is real and positive at low resolution.

    Args:
        kspace: complex, `(slice, coil, y, x)`, complete in the region.
        region: rows and columns of the fully sampled centre, see `calibration_region`.

    Returns:
        Sensitivities `(coil, slice, y, x)`, complex64, with sum_j |s_j|^2 = 1 everywhere. Where there is no signal
        they are without meaning; all coils of a slice without any are alike.

    Reference:
        Uecker et al., ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI, 2014.

    Example:
        >>> from kseg.transforms.fourier import fft2c
        >>> maps = torch.tensor([0.6, 0.8j])[None, :, None, None]
        >>> image = torch.zeros(40, 32)
        >>> image[10:30, 8:24] = 1
        >>> estimated = estimate_sensitivities(fft2c(image * maps), (slice(8, 32), slice(4, 28)))
        >>> torch.allclose(estimated[:, 0, 20, 16], maps[0, :, 0, 0], atol=1e-3)
        True
    """
    return torch.stack([_of_slice(each.to(torch.complex64), region) for each in kspace], dim=1)


def _of_slice(kspace: Tensor, region: tuple[slice, slice]) -> Tensor:
    centre = kspace[:, region[0], region[1]]
    projection = _projection(centre, (kspace.shape[1], kspace.shape[2]))
    maps = _unit(_low_resolution(kspace, region))
    for _ in range(_STEPS):
        maps = _unit((projection * maps).sum(1))
    return maps


def _projection(centre: Tensor, shape: tuple[int, int]) -> Tensor:
    """Projection at each voxel, `(coil coil y x)`, onto what the neighbourhoods of the centre span."""
    n_coils, reach = len(centre), 2 * KERNEL - 1
    neighbourhoods = centre.unfold(1, KERNEL, 1).unfold(2, KERNEL, 1).permute(1, 2, 0, 3, 4)
    _, values, vectors = torch.linalg.svd(
        neighbourhoods.reshape(-1, n_coils * KERNEL**2), full_matrices=False
    )
    spanned = vectors[values > _THRESHOLD * values[0]].reshape(-1, n_coils, KERNEL, KERNEL)
    # Products of kernels in image space are correlations in k-space, which reach as far as the kernels.
    correlation = torch.zeros(n_coils, n_coils, reach, reach, dtype=centre.dtype)
    for a in range(KERNEL):
        for b in range(KERNEL):
            rows, columns = (slice(KERNEL - 1 - start, reach - start) for start in (a, b))
            correlation[:, :, rows, columns] += torch.einsum(
                "kc,kdyx->cdyx", spanned[:, :, a, b], spanned.conj()
            )
    along_y, along_x = (_waves(n, reach) for n in shape)
    return torch.einsum("cdab,ya,xb->cdyx", correlation, along_y, along_x) / KERNEL**2


def _waves(n: int, reach: int) -> Tensor:
    """Waves exp(-2 pi i r k / n) over the voxels r and the distances k of samples, `(n, reach)`."""
    position = (torch.arange(n, dtype=torch.float64) - n // 2) / n
    distance = torch.arange(reach, dtype=torch.float64) - reach // 2
    return torch.exp(-2j * torch.pi * torch.outer(position, distance)).to(torch.complex64)


def _low_resolution(kspace: Tensor, region: tuple[slice, slice]) -> Tensor:
    """Coil images of the region alone, without ringing."""
    windows = [torch.hann_window(part.stop - part.start + 2, periodic=False)[1:-1] for part in region]
    centre = torch.zeros_like(kspace)
    centre[:, region[0], region[1]] = kspace[:, region[0], region[1]] * torch.outer(*windows)
    return ifft2c(centre)


def _unit(maps: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(maps, dim=0)
    return torch.where(norm > 0, maps / norm, len(maps) ** -0.5)


def _central(n: int, size: int) -> slice:
    first = n // 2 - size // 2
    return slice(first, first + size)
