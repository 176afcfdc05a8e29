"""Volumes that hold nothing but noise, for measurements to which content does not matter."""

from pathlib import Path

import numpy as np
import torch

from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines

AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def write_volume(path: Path, shape: tuple[int, int, int], seed: int) -> None:
    """Write noise as an image, or as k-space of which three in ten lines are measured.

    Args:
        path: file to write; one that ends in `.nii.gz` becomes an image.
        shape: `(slice, y, x)`.
        seed: the same for the same noise.
    """
    generator = torch.Generator().manual_seed(seed)
    if path.name.endswith(".nii.gz"):
        write_nifti(path, torch.rand(shape[::-1], generator=generator).numpy(), AFFINE)
        return
    n_slices, n_y, n_x = shape
    mask = gaussian_lines(n_x, round(0.3 * n_x), n_x // 11, generator)
    kspace = torch.randn(n_slices, 1, n_y, n_x, dtype=torch.complex64, generator=generator) * mask
    write_kspace(path, KSpaceVolume(kspace, mask, AFFINE, None, seed, path.stem))
