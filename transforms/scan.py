"""From tissue fractions to the k-space of a Cartesian scan, in closed form.

Signals are mixed, not relaxation rates: every voxel emits the sum of what its tissues emit, each with its own
decay during the readout.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.transforms.coils import expand
from kseg.transforms.fourier import fft2c
from kseg.transforms.sequences import PulseSequence
from kseg.transforms.tissues import Tissue

_RANK_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Readout:
    """Timing of the readout, which runs along y.

    Attributes:
        bandwidth: full receiver bandwidth over the field of view, hertz; one sample takes 1 / bandwidth.
    """

    bandwidth: float = 80e3

    def times(self, n_samples: int) -> Tensor:
        """Sampling times relative to the echo, seconds, float64, shape `(y,)`; the k-space centre is at 0."""
        return (torch.arange(n_samples, dtype=torch.float64) - n_samples // 2) / self.bandwidth


def scan_kspace(
    fractions: Tensor,
    tissues: Sequence[Tissue],
    sequence: PulseSequence,
    *,
    maps: Tensor,
    readout: Readout | None = None,
    b0: Tensor | None = None,
    b1: Tensor | None = None,
) -> Tensor:
    """Scan a phantom.

    S_j(ky, kx) = sum_r s_j(r) sum_T f_T(r) M_T(r) d_T(t) exp(-i 2 pi (k r + B0(r) t')), t the time of sample ky
    relative to the echo. A spin echo decays as d = exp(-t/T2 - |t|/T2'), a gradient echo as exp(-t/T2*); chemical
    shift turns the phase of its tissue. t' = t where the sequence refocuses static fields, else t + TE.

    Args:
        fractions: share of each tissue, `(tissue, slice, y, x)`.
        tissues: relaxation of each tissue, in the order of the fractions.
        sequence: gives M_T, the signal at the echo.
        maps: receive sensitivities, complex, `(coil, slice or 1, y, x)`.
        readout: timing; without it every sample is taken at the echo.
        b0: off-resonance, hertz, `(slice, y, x)`; needs a readout.
        b1: transmit field relative to nominal, `(slice, y, x)`; 1 everywhere if not given.

    Returns:
        k-space `(slice, coil, y, x)`, complex64.

    Raises:
        ValueError: counts or grids that disagree, or an off-resonance map without a readout.

    Reference:
        Conventions docs/conventions.md; the signal model is that of a crushed and spoiled steady state.
    """
    _check(fractions, tissues, maps, readout, b0, b1)
    n_y = fractions.shape[-2]
    decay = torch.ones(len(tissues), n_y, dtype=torch.complex128)
    if readout is not None:
        decay = readout_decay(tissues, sequence, readout.times(n_y))
    coefficients, curves = _separate(decay)
    images = _mix(fractions, sequence.signal(tissues, 1.0 if b1 is None else b1), coefficients)
    coil_images = expand(images, maps.movedim(0, 1))
    if b0 is None:
        return _read_on_resonance(coil_images, curves)
    assert readout is not None
    times = readout.times(n_y) + (0.0 if sequence.refocused else sequence.te)
    return _read_off_resonance(coil_images, curves, b0, times)


def readout_decay(tissues: Sequence[Tissue], sequence: PulseSequence, times: Tensor) -> Tensor:
    """Signal of each tissue during the readout relative to its signal at the echo.

    Args:
        tissues: relaxation of each tissue.
        sequence: whether static dephasing is refocused at time 0.
        times: seconds relative to the echo, float64, `(y,)`.

    Returns:
        Complex decay `(tissue, y)`, complex128.

    Example:
        >>> gm = Tissue(pd=0.86, t1=0.833, t2=0.08, t2_star=0.04, off_resonance=0.0)
        >>> from kseg.transforms.sequences import SpinEcho
        >>> readout_decay([gm], SpinEcho(), torch.tensor([-0.08, 0.0, 0.08])).real.log().round()
        tensor([[ 0.,  0., -2.]])
    """
    rows = []
    for tissue in tissues:
        if sequence.refocused:
            rate = times / tissue.t2 + times.abs() * tissue.dephasing_rate
            phase_time = times
        else:
            rate = times / tissue.t2_star
            phase_time = times + sequence.te
        rows.append(torch.polar(torch.exp(-rate), -2 * math.pi * tissue.off_resonance * phase_time))
    return torch.stack(rows)


def _check(
    fractions: Tensor,
    tissues: Sequence[Tissue],
    maps: Tensor,
    readout: Readout | None,
    b0: Tensor | None,
    b1: Tensor | None,
) -> None:
    if fractions.ndim != 4 or len(fractions) != len(tissues):
        raise ValueError(
            f"scan: expected fractions (tissue, slice, y, x) of {len(tissues)} tissues, "
            f"received {tuple(fractions.shape)}"
        )
    grid = tuple(fractions.shape[1:])
    if maps.ndim != 4 or maps.shape[1] not in (1, grid[0]) or tuple(maps.shape[2:]) != grid[1:]:
        raise ValueError(f"scan: expected maps (coil, 1 or {grid[0]}, {grid[1]}, {grid[2]}), received {tuple(maps.shape)}")
    for name, field in (("b0", b0), ("b1", b1)):
        if field is not None and tuple(field.shape) != grid:
            raise ValueError(f"scan: expected {name} (slice, y, x) = {grid}, received {tuple(field.shape)}")
    if b0 is not None and readout is None:
        raise ValueError("scan: expected a readout with an off-resonance map, received none")


def _separate(decay: Tensor) -> tuple[Tensor, Tensor]:
    """Write decay (tissue, y) as real coefficients (tissue, rank) times complex curves (rank, y).

    Decays of different tissues are nearly the same smooth curve, so a few terms are exact to float32; images
    per term replace images per tissue. Real coefficients keep the mixed images real.
    """
    left, singular, right = torch.linalg.svd(torch.view_as_real(decay).flatten(1), full_matrices=False)
    rank = max(1, int((singular > _RANK_TOLERANCE * singular[0]).sum()))
    curves = torch.view_as_complex(right[:rank].reshape(rank, -1, 2).contiguous())
    return (left[:, :rank] * singular[:rank]).float(), curves.to(torch.complex64)


def _mix(fractions: Tensor, signal: Tensor, coefficients: Tensor) -> Tensor:
    if signal.ndim == 1:
        weights = (signal[:, None] * coefficients).T
        return (weights @ fractions.flatten(1)).unflatten(1, fractions.shape[1:])
    return torch.tensordot(coefficients.T, fractions * signal, dims=1)


def _read_on_resonance(coil_images: Tensor, curves: Tensor) -> Tensor:
    """k-space of images (rank, slice, coil, y, x) whose term r is weighted by curve r along ky."""
    if len(curves) == 1 and bool((curves == curves[0, 0]).all()):
        return fft2c(coil_images[0] * curves[0, 0])
    along_y = _fft1c(coil_images, -2)
    return _fft1c((along_y * curves[:, None, None, :, None]).sum(0), -1)


def _fft1c(values: Tensor, axis: int) -> Tensor:
    shifted = torch.fft.ifftshift(values, dim=axis)
    return torch.fft.fftshift(torch.fft.fft(shifted, dim=axis, norm="ortho"), dim=axis)


def _read_off_resonance(coil_images: Tensor, curves: Tensor, b0: Tensor, times: Tensor) -> Tensor:
    """Exact sum over y for every sample of the readout, each with its own off-resonance phase."""
    n_y = coil_images.shape[-2]
    y = (torch.arange(n_y, dtype=torch.float64) - n_y // 2)[:, None] / n_y
    lines = []
    for sample, time in enumerate(times.tolist()):
        cycles = b0.double() * time + y * (sample - n_y // 2)
        phase = torch.polar(torch.ones_like(cycles), -2 * math.pi * cycles).to(torch.complex64)
        weighted = torch.tensordot(curves[:, sample], coil_images, dims=1)
        lines.append((weighted * phase[:, None]).sum(-2))
    return _fft1c(torch.stack(lines, dim=-2) / math.sqrt(n_y), -1)
