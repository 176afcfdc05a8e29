"""What a scan of several coils needs before a network takes it: fewer coils, and their sensitivities."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.transforms.coil_mixing import compress_coils
from kseg.transforms.coil_sensitivities import calibration_region, estimate_sensitivities

MOST_COILS = 8
"""More would cost time in every Fourier transform."""


@dataclass(frozen=True, eq=False)
class CoilScan:
    """A scan that a network takes.

    Attributes:
        kspace: `(slice, coil, y, x)`, complex64.
        maps: sensitivities `(coil, slice, y, x)` with sum_j |s_j|^2 = 1; None for one coil without any.
        notes: what was done.
    """

    kspace: Tensor
    maps: Tensor | None
    notes: tuple[str, ...] = ()


def prepare_coils(kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> CoilScan:
    """Estimate the sensitivities of a scan of several coils, unless they are known; a scan of one needs none.

    More than 8 coils are compressed to as many virtual ones first, unless their sensitivities are known.

    Args:
        kspace: `(slice, coil, y, x)`, complex64.
        mask: bool, `(slice, 1, x)` or `(slice, y, x)`, True where sampled.
        maps: known sensitivities, complex, `(coil, slice, y, x)`, in any scale; a slice axis of length 1 serves all.

    Raises:
        ValueError: known sensitivities of another scan, or too few samples in the centre to estimate them.

    Example:
        >>> kspace, mask = torch.ones(1, 12, 32, 32, dtype=torch.complex64), torch.ones(1, 1, 32, dtype=torch.bool)
        >>> scan = prepare_coils(kspace, mask)
        >>> scan.kspace.shape, scan.maps.shape
        (torch.Size([1, 8, 32, 32]), torch.Size([8, 1, 32, 32]))
        >>> for note in scan.notes: print(note)
        12 coils compressed to 8
        sensitivities estimated from 24 x 24 central samples (y, x)
    """
    n_slices, n_coils, n_y, n_x = kspace.shape
    if maps is not None:
        shapes = [(n_coils, count, n_y, n_x) for count in (1, n_slices)]
        if tuple(maps.shape) not in shapes:
            raise ValueError(
                f"coil sensitivities: expected (coil, slice, y, x) = {shapes[1]}, received {tuple(maps.shape)}"
            )
        norm = torch.linalg.vector_norm(maps, dim=0)
        scaled = torch.where(norm > 0, maps / norm, 0).to(torch.complex64)
        return CoilScan(kspace, scaled.expand(shapes[1]), ("sensitivities as stored",))
    if n_coils == 1:
        return CoilScan(kspace, None)
    region = calibration_region(mask, n_y)
    virtual = compress_coils(torch.where(mask[:, None], kspace, 0), MOST_COILS)
    rows, columns = (part.stop - part.start for part in region)
    notes = [f"{n_coils} coils compressed to {virtual.shape[1]}"] if virtual.shape[1] < n_coils else []
    notes.append(f"sensitivities estimated from {rows} x {columns} central samples (y, x)")
    return CoilScan(virtual, estimate_sensitivities(virtual, region), tuple(notes))
