"""From tissue fractions to the k-space of a Cartesian scan, in closed form.

Signals are mixed, not relaxation rates: every voxel emits the sum of what its tissues emit, each with its own
decay during the readout.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.transforms.blocks import Memory, fill_blocks
from kseg.transforms.events import Delay, Event, Pulse, Read
from kseg.transforms.fourier import centring_angle
from kseg.transforms.separation import OffResonance, separate_decay
from kseg.transforms.sequences import PulseSequence
from kseg.transforms.tissues import Tissue

_BLOCK = 2**18
"""Voxels of all coils that are encoded at once: few enough for the memory next to a core."""


_FIELDS = 65
"""Transmit fields for which signals are compared: angles that are some degrees apart."""


@dataclass(frozen=True)
class Readout:
    """Timing of the readout, which runs along y.

    Attributes:
        bandwidth: full receiver bandwidth over the field of view, hertz; one sample takes 1 / bandwidth.

    Raises:
        ValueError: a bandwidth that is not positive.
    """

    bandwidth: float = 80e3

    def __post_init__(self) -> None:
        if not self.bandwidth > 0:
            raise ValueError(f"readout: expected a bandwidth above 0 Hz, received {self.bandwidth}")

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

    S_j(ky, kx) = sum_r s_j(r) sum_T f_T(r) M_T(r) d_T(t) exp(-i 2 pi (k r + B0(r) t')), t the time of sample
    ky relative to the echo. A spin echo decays as d = exp(-t/T2 - |t|/T2'), a gradient echo as exp(-t/T2*);
    chemical shift turns the phase of its tissue. t' = t where the sequence refocuses static fields, else
    t + TE.

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
        ValueError: counts or grids that disagree, an off-resonance map without a readout, or a readout that
            does not fit between the pulses of the sequence.

    Reference:
        Conventions docs/conventions.md; the signal model is that of a crushed and spoiled steady state.
    """
    check_scan(fractions, tissues, sequence, maps, readout, b0, b1)
    n_slices, n_y = fractions.shape[1:3]
    signal = sequence.signal(tissues)
    times = torch.zeros(n_y, dtype=torch.float64) if readout is None else readout.times(n_y)
    strongest = signal if b1 is None else _strongest(sequence, tissues, b1)
    coefficients, courses = separate_decay(readout_decay(tissues, sequence, times), strongest)
    field = None if b0 is None else OffResonance(b0, times, 0.0 if sequence.refocused else sequence.te)
    if field is not None:
        courses = (field.courses[:, None] * courses).flatten(0, 1)
    courses, sensitivities = _centred(courses, maps.movedim(0, 1))

    inputs = (fractions, maps, b0, b1)
    recorded = torch.is_grad_enabled() and any(given is not None and given.requires_grad for given in inputs)

    def new_worker() -> Callable[[slice], Tensor]:
        # A gradient needs what the blocks before left.
        memory = None if recorded else Memory()

        def scan_block(block: slice) -> Tensor:
            emitted = signal if b1 is None else sequence.signal(tissues, b1[block])
            images = _mix(fractions[:, block], emitted, coefficients, memory)
            receive = sensitivities[block] if len(sensitivities) > 1 else sensitivities
            if field is not None:
                images, receive = field.modulate(images, receive, block)
            return _encode(images, courses, receive, memory)

        return scan_block

    kspace = torch.empty(n_slices, *maps[:, 0].shape, dtype=torch.complex64)
    fill_blocks(kspace, new_worker, max(1, _BLOCK // kspace[0].numel()), parallel=not recorded)
    return kspace


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
        tensor([[ 0.,  0., -2.]], dtype=torch.float64)
    """
    t2, t2_star, shift, dephasing = torch.tensor(
        [(tissue.t2, tissue.t2_star, tissue.off_resonance, tissue.dephasing_rate) for tissue in tissues],
        dtype=torch.float64,
    ).T[:, :, None]
    if sequence.refocused:
        return torch.polar(torch.exp(-times / t2 - times.abs() * dephasing), -2 * math.pi * shift * times)
    return torch.polar(torch.exp(-times / t2_star), -2 * math.pi * shift * (times + sequence.te))


def check_scan(
    fractions: Tensor,
    tissues: Sequence[Tissue],
    sequence: PulseSequence,
    maps: Tensor,
    readout: Readout | None,
    b0: Tensor | None,
    b1: Tensor | None,
) -> None:
    """Check that the inputs of a scan, see `scan_kspace`, fit together.

    Raises:
        ValueError: counts or grids that disagree, an off-resonance map without a readout, or a readout that
            does not fit between the pulses of the sequence.
    """
    if fractions.ndim != 4 or len(fractions) != len(tissues):
        raise ValueError(
            f"scan: expected fractions (tissue, slice, y, x) of {len(tissues)} tissues, "
            f"received {tuple(fractions.shape)}"
        )
    grid = tuple(fractions.shape[1:])
    if maps.ndim != 4 or maps.shape[1] not in (1, grid[0]) or tuple(maps.shape[2:]) != grid[1:]:
        raise ValueError(
            f"scan: expected maps (coil, 1 or {grid[0]}, {grid[1]}, {grid[2]}), received {tuple(maps.shape)}"
        )
    for name, field in (("b0", b0), ("b1", b1)):
        if field is not None and tuple(field.shape) != grid:
            raise ValueError(f"scan: expected {name} (slice, y, x) = {grid}, received {tuple(field.shape)}")
    if b0 is not None and readout is None:
        raise ValueError("scan: expected a readout with an off-resonance map, received none")
    if readout is not None:
        _require_room(sequence, readout.times(grid[1]))


def _require_room(sequence: PulseSequence, times: Tensor) -> None:
    events, first, last = sequence.events(), float(times[0]), float(times[-1])
    echo = events.index(Read())
    before, after = _until_pulse(reversed(events[:echo])), _until_pulse(events[echo:])
    if not (-first < before and last <= after):
        raise ValueError(
            f"scan: expected a readout that starts less than {1e3 * before:g} ms before the echo and ends at "
            f"most {1e3 * after:g} ms behind it, received {len(times)} samples from {1e3 * first:g} ms to "
            f"{1e3 * last:g} ms"
        )


def _until_pulse(events: Iterable[Event]) -> float:
    """Seconds that pass before the first pulse."""
    free = itertools.takewhile(lambda event: not isinstance(event, Pulse), events)
    return sum(event.seconds for event in free if isinstance(event, Delay))


def _strongest(sequence: PulseSequence, tissues: Sequence[Tissue], b1: Tensor) -> Tensor:
    """Largest signal of each tissue within the range of the transmit field."""
    lowest, highest = torch.stack(torch.aminmax(b1.detach())).tolist()
    return sequence.signal(tissues, torch.linspace(lowest, highest, _FIELDS)).abs().amax(1)


def _mix(fractions: Tensor, signal: Tensor, coefficients: Tensor, memory: Memory | None) -> Tensor:
    """Images `(term, slice, y, x)`: signals of the tissues, mixed with the coefficients of every term."""
    shape = (len(coefficients), *fractions.shape[1:])
    if signal.ndim == 1:
        coefficients = coefficients * signal
    else:
        fractions = fractions * signal
    out = None if memory is None else memory.take("mixed", shape, fractions.dtype).flatten(1)
    return torch.mm(coefficients, fractions.flatten(1), out=out).view(shape)


def _centred(courses: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Put the phases that centre the transform, and its norm, where data are multiplied anyway.

    Returns:
        Courses `(term, y, x)` and sensitivities `(slice, coil, y, x)`; complex64.
    """
    n_y, n_x = maps.shape[-2:]
    along_y, along_x = (
        torch.polar(torch.ones(n, dtype=torch.float64), centring_angle(n, maps.device)) for n in (n_y, n_x)
    )
    courses = (courses * along_y / math.sqrt(n_y * n_x))[..., None] * along_x
    centring = along_y[:, None].to(torch.complex64) * along_x.to(torch.complex64)
    return courses.to(torch.complex64), maps * centring


def _encode(images: Tensor, courses: Tensor, maps: Tensor, memory: Memory | None) -> Tensor:
    """k-space of images `(term, slice, y, x)`, each weighted by its course along ky."""
    # Both axes are transformed for every term: alone, the strided one takes six times as long as both.
    kspace: Tensor = torch.fft.fft2(_receive(images[0], maps, memory)).mul_(courses[0])
    # One term at a time: what one needs stays in the cache.
    for image, course in zip(images[1:], courses[1:], strict=True):
        kspace.addcmul_(torch.fft.fft2(_receive(image, maps, memory)), course)
    return kspace


def _receive(image: Tensor, maps: Tensor, memory: Memory | None) -> Tensor:
    """Images of the coils `(slice, coil, y, x)`."""
    image = image[:, None]
    if memory is None:
        return image * maps
    shape = torch.broadcast_shapes(image.shape, maps.shape)
    return memory.take("received", shape, maps.dtype).copy_(image).mul_(maps)
