"""Pulse sequences in their steady state, crushed and spoiled: closed-form signal of each tissue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from kseg.transforms.events import Crush, Delay, Encode, Event, Pulse, Read, Spoil
from kseg.transforms.tissues import Tissue

_Timed = TypeVar("_Timed", "SpinEcho", "GradientEcho", "InversionRecovery")


class PulseSequence(Protocol):
    """What the scan simulation needs to know about a sequence."""

    @property
    def te(self) -> float:
        """Echo time, seconds."""

    @property
    def refocused(self) -> bool:
        """Whether static dephasing is undone at the echo time."""

    def signal(self, tissues: Sequence[Tissue], b1: Tensor | float = 1.0) -> Tensor:
        """Transverse magnetisation of each tissue at the echo time, `(tissue, *b1.shape)`."""

    def events(self) -> list[Event]:
        """One repetition, from its first pulse to its end."""


@dataclass(frozen=True)
class SpinEcho:
    """Spin echo: excitation, refocusing at half the echo time.

    Args:
        te: echo time, seconds.
        tr: repetition time, seconds, longer than te.
        flip_deg: excitation angle, degrees.
        refocus_deg: refocusing angle, degrees.

    Raises:
        ValueError: times that do not fit into each other.
    """

    te: float = 0.08
    tr: float = 3.0
    flip_deg: float = 90.0
    refocus_deg: float = 180.0
    refocused = True

    def __post_init__(self) -> None:
        _check_times(self.te, self.tr)

    def signal(self, tissues: Sequence[Tissue], b1: Tensor | float = 1.0) -> Tensor:
        """Signal of each tissue at the echo.

        S = PD sin(a) sin^2(b/2) exp(-TE/T2) Mz,
        Mz = [1 - E(TR - TE/2) + (1 - E(TE/2)) cos b E(TR - TE/2)] / [1 - cos a cos b E(TR)],
        E(t) = exp(-t/T1), a = flip * B1, b = refocus * B1. At B1 = 1, a = 90 and b = 180 degrees this
        is the usual PD exp(-TE/T2) (1 - 2 E(TR - TE/2) + E(TR)).

        Args:
            tissues: relaxation of each tissue.
            b1: transmit field relative to nominal, any shape.

        Returns:
            Real signal `(tissue, *b1.shape)` in units of the proton density.

        Example:
            >>> water = Tissue(pd=1.0, t1=1e-3, t2=0.08, t2_star=0.08)
            >>> SpinEcho(te=0.08, tr=3.0).signal([water])
            tensor([0.3679])
        """
        b1 = torch.as_tensor(b1, dtype=torch.float32)
        pd, t1, t2 = _columns(tissues, b1)
        cos_a, sin_a = _cos_sin(b1, self.flip_deg)
        cos_b, _ = _cos_sin(b1, self.refocus_deg)
        late = torch.exp(-(self.tr - self.te / 2) / t1)
        early = torch.exp(-self.te / 2 / t1)
        mz = (1 - late + (1 - early) * cos_b * late) / (1 - cos_a * cos_b * early * late)
        return pd * sin_a * (1 - cos_b) / 2 * torch.exp(-self.te / t2) * mz

    def events(self) -> list[Event]:
        """One repetition: excitation about y, refocusing about x between crushers, echo, spoiler."""
        return [*_spin_echo(self.flip_deg, self.te, self.refocus_deg), Delay(self.tr - self.te), Spoil()]

    def jittered(self, generator: torch.Generator, relative: float = 0.05) -> "SpinEcho":
        """Copy with TE and TR each scaled by a factor uniform in 1 +- relative."""
        return _jittered(self, generator, relative)


@dataclass(frozen=True)
class GradientEcho:
    """Spoiled gradient echo.

    Args:
        te: echo time, seconds.
        tr: repetition time, seconds, longer than te.
        flip_deg: excitation angle, degrees.

    Raises:
        ValueError: times that do not fit into each other.
    """

    te: float = 0.005
    tr: float = 0.25
    flip_deg: float = 70.0
    refocused = False

    def __post_init__(self) -> None:
        _check_times(self.te, self.tr)

    def signal(self, tissues: Sequence[Tissue], b1: Tensor | float = 1.0) -> Tensor:
        """Signal of each tissue at the echo (Ernst): PD sin a (1 - E) / (1 - cos a E) exp(-TE/T2*).

        Args:
            tissues: relaxation of each tissue.
            b1: transmit field relative to nominal, any shape.

        Returns:
            Real signal `(tissue, *b1.shape)` in units of the proton density.

        Example:
            >>> water = Tissue(pd=1.0, t1=1e-3, t2=0.08, t2_star=0.005)
            >>> GradientEcho(te=0.005, tr=0.25, flip_deg=90).signal([water])
            tensor([0.3679])
        """
        b1 = torch.as_tensor(b1, dtype=torch.float32)
        pd, t1, _ = _columns(tissues, b1)
        t2_star = _column([tissue.t2_star for tissue in tissues], b1)
        cos_a, sin_a = _cos_sin(b1, self.flip_deg)
        recovery = torch.exp(-self.tr / t1)
        return pd * sin_a * (1 - recovery) / (1 - cos_a * recovery) * torch.exp(-self.te / t2_star)

    def events(self) -> list[Event]:
        """One repetition: excitation about y, echo, spoiler."""
        rest = Delay(self.tr - self.te)
        return [Pulse(self.flip_deg, 90.0), Encode(1), Delay(self.te), Read(), rest, Spoil()]

    def jittered(self, generator: torch.Generator, relative: float = 0.05) -> "GradientEcho":
        """Copy with TE and TR each scaled by a factor uniform in 1 +- relative."""
        return _jittered(self, generator, relative)


@dataclass(frozen=True)
class InversionRecovery:
    """Inversion pulse, delay TI, then a spin echo.

    Args:
        te: echo time, seconds.
        tr: repetition time from inversion to inversion, seconds, longer than ti + te.
        ti: time from inversion to excitation, seconds.
        flip_deg: excitation angle, degrees.
        refocus_deg: refocusing angle, degrees.
        inversion_deg: inversion angle, degrees.

    Raises:
        ValueError: times that do not fit into each other.
    """

    te: float = 0.015
    tr: float = 5.0
    ti: float = 0.8
    flip_deg: float = 90.0
    refocus_deg: float = 180.0
    inversion_deg: float = 180.0
    refocused = True

    def __post_init__(self) -> None:
        _check_times(self.te, self.tr - self.ti)
        if self.ti <= 0:
            raise ValueError(f"inversion recovery: expected ti > 0, received {self.ti}")

    def signal(self, tissues: Sequence[Tissue], b1: Tensor | float = 1.0) -> Tensor:
        """Signal of each tissue at the echo; negative before the null point.

        The longitudinal magnetisation just before the inversion is the fixed point of one repetition:
        inversion, recovery over TI, excitation, recovery over TE/2, refocusing, recovery to TR. Every
        step maps Mz to offset + slope Mz, and transverse magnetisation is crushed between repetitions.

        Args:
            tissues: relaxation of each tissue.
            b1: transmit field relative to nominal, any shape.

        Returns:
            Real signal `(tissue, *b1.shape)` in units of the proton density.

        Example:
            >>> water = Tissue(pd=1.0, t1=1.0, t2=1e9, t2_star=1e9)
            >>> null = InversionRecovery(te=1e-6, tr=50.0, ti=0.693147)
            >>> bool(null.signal([water]).abs() < 1e-5)
            True
        """
        b1 = torch.as_tensor(b1, dtype=torch.float32)
        pd, t1, t2 = _columns(tissues, b1)
        cos_a, sin_a = _cos_sin(b1, self.flip_deg)
        cos_b, _ = _cos_sin(b1, self.refocus_deg)
        cos_i, _ = _cos_sin(b1, self.inversion_deg)
        inverted = torch.exp(-self.ti / t1)
        half = torch.exp(-self.te / 2 / t1)
        rest = torch.exp(-(self.tr - self.ti - self.te / 2) / t1)
        offset, slope = 1 - inverted, cos_i * inverted
        for cosine, decay in ((cos_a, half), (cos_b, rest)):
            offset, slope = offset * cosine * decay + 1 - decay, slope * cosine * decay
        before_inversion = offset / (1 - slope)
        mz = 1 - inverted + cos_i * inverted * before_inversion
        return pd * sin_a * (1 - cos_b) / 2 * torch.exp(-self.te / t2) * mz

    def events(self) -> list[Event]:
        """One repetition: inversion, spoiler, delay, then a spin echo and its spoiler."""
        inversion: list[Event] = [Pulse(self.inversion_deg, 0.0), Spoil(), Delay(self.ti)]
        echo = _spin_echo(self.flip_deg, self.te, self.refocus_deg)
        return [*inversion, *echo, Delay(self.tr - self.ti - self.te), Spoil()]

    def jittered(self, generator: torch.Generator, relative: float = 0.05) -> "InversionRecovery":
        """Copy with TE and TR each scaled by a factor uniform in 1 +- relative."""
        return _jittered(self, generator, relative)


SEQUENCES: dict[str, type[SpinEcho] | type[GradientEcho] | type[InversionRecovery]] = {
    "spin_echo": SpinEcho,
    "gradient_echo": GradientEcho,
    "inversion_recovery": InversionRecovery,
}
"""The sequences by the name that settings give them."""


def require_time_jitter(sequence: SpinEcho | GradientEcho | InversionRecovery, relative: float) -> None:
    """Refuse a relative change with which `jittered` may fail.

    Args:
        sequence: with its mean times.
        relative: largest relative change of TE and TR.

    Raises:
        ValueError: a negative change or one of 1 and more, or times that may no longer fit into each other.
    """
    if not 0 <= relative < 1:
        raise ValueError(f"time jitter: expected 0 or more and below 1, received {relative}")
    replace(sequence, te=sequence.te * (1 + relative), tr=sequence.tr * (1 - relative))


def _spin_echo(flip_deg: float, te: float, refocus_deg: float) -> list[Event]:
    excitation: list[Event] = [Pulse(flip_deg, 90.0), Encode(-1), Delay(te / 2)]
    return [*excitation, Crush(), Pulse(refocus_deg, 0.0), Crush(), Delay(te / 2), Read()]


def _jittered(sequence: _Timed, generator: torch.Generator, relative: float) -> _Timed:
    te, tr = (1 + relative * (2 * torch.rand(2, generator=generator, dtype=torch.float64) - 1)).tolist()
    return replace(sequence, te=sequence.te * te, tr=sequence.tr * tr)


def _check_times(te: float, tr: float) -> None:
    if not 0 < te < tr:
        raise ValueError(
            f"sequence times in seconds: expected 0 < te < tr (after ti), received te {te:g}, tr {tr:g}"
        )


def _column(values: Sequence[float], b1: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, *([1] * b1.ndim))


def _columns(tissues: Sequence[Tissue], b1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pd = _column([tissue.pd for tissue in tissues], b1)
    t1 = _column([tissue.t1 for tissue in tissues], b1)
    return pd, t1, _column([tissue.t2 for tissue in tissues], b1)


def _cos_sin(b1: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    angle = b1 * math.radians(degrees)
    return torch.cos(angle), torch.sin(angle)
