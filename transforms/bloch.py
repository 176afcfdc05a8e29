"""From tissue fractions to k-space by following the magnetisation of isochromats through every repetition.

It shows what the closed form of `kseg.transforms.scan` leaves out: the approach to the steady state, echoes of
imperfect pulses, magnetisation that survives from one repetition to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kseg.transforms.events import Crush, Delay, Encode, Event, Pulse, Read
from kseg.transforms.isochromats import (
    Action,
    Isochromats,
    Magnetisation,
    gradient,
    precession,
    pulse,
    spoil,
)
from kseg.transforms.scan import Readout, check_scan
from kseg.transforms.sequences import PulseSequence
from kseg.transforms.tissues import Tissue

_CHUNK = 2**14
"""Isochromats that are followed at once."""


@dataclass(frozen=True)
class BlochScanner:
    """A scanner that plays the events of a sequence, one repetition per phase-encode line, from first to last.

    Every tissue of every voxel is a set of isochromats in the middle of the voxel, spread through the
    thickness of the slice and, for static dephasing, over off-resonances. They start at equilibrium.

    Attributes:
        dummies: repetitions before the first line; they are encoded like it and not recorded.
        z_spins: isochromats through the slice, on which crushers and spoilers act.
        crusher_cycles: turns of the phase through the slice by each crusher, 0 for none.
        spoiler_cycles: turns of the phase through the slice by each spoiler, 0 for none; if not given,
            spoilers are ideal and leave no transverse magnetisation.
        dephasing_spins: isochromats whose off-resonances follow the Lorentzian distribution of T2'; if not
            given, T2' acts as in the closed form: as a decay before and after the echo.

    Raises:
        ValueError: numbers out of range.

    Reference:
        Bloch, Nuclear induction, Phys Rev 70:460, 1946, for hard pulses and closed form in between.
    """

    dummies: int = 4
    z_spins: int = 8
    crusher_cycles: float = 2.0
    spoiler_cycles: float | None = None
    dephasing_spins: int | None = None

    def __post_init__(self) -> None:
        spins = 1 if self.dephasing_spins is None else self.dephasing_spins
        if self.dummies < 0 or self.z_spins < 1 or spins < 1:
            raise ValueError(
                "Bloch scanner: expected dummies of 0 or more and spins of 1 or more, received "
                f"dummies {self.dummies}, z_spins {self.z_spins}, dephasing_spins {self.dephasing_spins}"
            )
        # Between the two crushers what is not refocused turns twice; fewer spins would see whole turns.
        cycles = max(2 * abs(self.crusher_cycles), abs(self.spoiler_cycles or 0))
        if cycles and self.z_spins <= cycles:
            raise ValueError(
                f"Bloch scanner: expected more than {cycles} z_spins for crushers of {self.crusher_cycles} and "
                f"spoilers of {self.spoiler_cycles or 0} cycles, received {self.z_spins}"
            )

    def scan_kspace(
        self,
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

        Args:
            fractions: share of each tissue, `(tissue, slice, y, x)`.
            tissues: relaxation of each tissue, in the order of the fractions.
            sequence: gives the events of a repetition.
            maps: receive sensitivities, complex, `(coil, slice or 1, y, x)`.
            readout: timing; without it every sample is taken at the echo.
            b0: off-resonance, hertz, `(slice, y, x)`; needs a readout.
            b1: transmit field relative to nominal, `(slice, y, x)`; 1 everywhere if not given.

        Returns:
            k-space `(slice, coil, y, x)`, complex64.

        Raises:
            ValueError: counts or grids that disagree, an off-resonance map without a readout, or a readout that
                does not fit between the pulses of the sequence.
        """
        check_scan(fractions, tissues, sequence, maps, readout, b0, b1)
        n_slices, n_y, n_x = fractions.shape[1:]
        times = torch.zeros(n_y, dtype=torch.float64) if readout is None else readout.times(n_y)
        properties = torch.tensor(
            [(t.pd, t.t1, t.t2, t.dephasing_rate, t.off_resonance) for t in tissues], dtype=torch.float64
        )
        present = fractions * properties[:, 0, None, None, None]
        chunk = max(1, _CHUNK // (self.z_spins * (self.dephasing_spins or 1)))
        kspace = torch.zeros(n_slices, len(maps), n_y, n_x, dtype=torch.complex128)
        for index in range(n_slices):
            field = torch.zeros(n_y, n_x) if b0 is None else b0[index]
            transmit = torch.ones(n_y, n_x) if b1 is None else b1[index]
            receive = maps[:, index if maps.shape[1] > 1 else 0].to(torch.complex128)
            for place in torch.nonzero(present[:, index]).split(chunk):
                tissue, y, x = place.T
                spins = self._spins(properties[tissue], (y, x), field, transmit)
                echoes = self._echoes(spins, sequence, (n_y, n_x))
                echoes *= fractions[tissue, index, y, x, None] / echoes.shape[-1]
                samples = _samples(spins, sequence, times)
                for coil, sensitivity in enumerate(receive):
                    received = echoes * sensitivity[y, x, None]
                    kspace[index, coil] += samples @ received.flatten(1).T
        return (kspace / math.sqrt(n_y * n_x)).to(torch.complex64)

    def _spins(self, properties: Tensor, place: tuple[Tensor, Tensor], b0: Tensor, b1: Tensor) -> Isochromats:
        """Isochromats of one tissue each, at (y, x)."""
        pd, t1, t2, rate, shift = properties.T[:, :, None, None]
        y, x = (index[:, None, None] for index in place)
        frequency = b0[y, x].double() + shift
        if self.dephasing_spins is not None:
            # Equal shares of the Lorentzian distribution, whose Fourier transform is exp(-|t| / T2').
            quantiles = torch.tan(math.pi * _midpoints(self.dephasing_spins))[:, None]
            frequency = frequency + rate / (2 * math.pi) * quantiles
            rate = torch.zeros_like(rate)
        n_y, n_x = b0.shape
        return Isochromats(
            equilibrium=pd,
            t1=t1,
            t2=t2,
            dephasing_rate=rate,
            frequency=frequency,
            b1=b1[y, x].double(),
            y=(y - n_y // 2).double() / n_y,
            x=(x - n_x // 2).double() / n_x,
            z=_midpoints(self.z_spins),
        )

    def _echoes(self, spins: Isochromats, sequence: PulseSequence, shape: tuple[int, int]) -> Tensor:
        """Transverse magnetisation at the echo of every line, its mean through the slice: `(x, place, offset)`."""
        n_y, n_x = shape
        events = sequence.events()
        actions = {event: self._action(event, spins) for event in events}
        before = n_y // 2 * spins.y
        to_echo, past_echo = gradient(before), gradient((n_y - n_y // 2) * spins.y)
        longitudinal = spins.equilibrium.expand(*spins.frequency.shape[:2], len(spins.z))
        state = Magnetisation(torch.zeros_like(longitudinal, dtype=torch.complex128), longitudinal)
        lines = [index - n_x // 2 for index in range(n_x)]
        echoes = []
        for line in [*[lines[0]] * self.dummies, *lines]:
            for event in events:
                if isinstance(event, Encode):
                    state = gradient(event.sign * (line * spins.x - before))(state)
                elif isinstance(event, Read):
                    state = to_echo(state)
                    echoes.append(state.transverse.mean(-1))
                    state = past_echo(state)
                else:
                    state = actions[event](state)
        return torch.stack(echoes[self.dummies :])

    def _action(self, event: Event, spins: Isochromats) -> Action:
        if isinstance(event, Pulse):
            return pulse(math.radians(event.angle_deg) * spins.b1, math.radians(event.axis_deg))
        if isinstance(event, Delay):
            return precession(event.seconds, spins)
        if isinstance(event, Crush):
            return gradient(self.crusher_cycles * spins.z)
        return spoil if self.spoiler_cycles is None else gradient(self.spoiler_cycles * spins.z)


def _samples(spins: Isochromats, sequence: PulseSequence, times: Tensor) -> Tensor:
    """What the echo of each isochromat gives to every sample of the readout: `(y, place offset)`."""
    n_y = len(times)
    times = times[:, None, None, None]
    line = (torch.arange(n_y) - n_y // 2)[:, None, None, None]
    static = times.abs() if sequence.refocused else times + sequence.te
    decay = torch.exp(-times / spins.t2 - static * spins.dephasing_rate)
    phase = -2 * math.pi * (spins.frequency * times + spins.y * line)
    return torch.polar(*torch.broadcast_tensors(decay, phase)).flatten(1)


def _midpoints(count: int) -> Tensor:
    """Middles of count equal parts of -1/2 to 1/2."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5
