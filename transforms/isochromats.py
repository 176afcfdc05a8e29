"""What acts on the magnetisation of isochromats: pulses, precession with relaxation, gradients, ideal spoilers.

Each function prepares one action for a set of isochromats, so that what repeats is computed once.
"""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Isochromats:
    """What isochromats are made of, and where they are; float64, broadcast against each other.

    Attributes:
        equilibrium: longitudinal magnetisation at rest.
        t1: longitudinal relaxation time, seconds.
        t2: transverse relaxation time, seconds.
        dephasing_rate: 1/T2' of what static dephasing the frequencies do not hold, per second.
        frequency: off-resonance, hertz; phase goes as exp(-i 2 pi frequency t).
        b1: transmit field relative to nominal.
        y: position in fields of view from the centre.
        x: position in fields of view from the centre.
        z: position in slice thicknesses from the centre.
    """

    equilibrium: Tensor
    t1: Tensor
    t2: Tensor
    dephasing_rate: Tensor
    frequency: Tensor
    b1: Tensor
    y: Tensor
    x: Tensor
    z: Tensor


class Magnetisation(NamedTuple):
    """State of a set of isochromats.

    Attributes:
        transverse: Mx + i My, complex128, any shape.
        longitudinal: Mz, float64, of the same shape.
    """

    transverse: Tensor
    longitudinal: Tensor


Action: TypeAlias = Callable[[Magnetisation], Magnetisation]


def pulse(angle: Tensor, axis: float) -> Action:
    """Rotate about an axis in the transverse plane.

    Args:
        angle: flip angle of each isochromat, radians.
        axis: direction of the axis, radians from x.

    Example:
        >>> rest = Magnetisation(torch.zeros(1, dtype=torch.complex128), torch.ones(1, dtype=torch.float64))
        >>> pulse(torch.tensor([math.pi / 6]).double(), math.pi / 2)(rest).transverse.real
        tensor([0.5000], dtype=torch.float64)
    """
    cosine, sine = torch.cos(angle), torch.sin(angle)
    direction = cmath.rect(1.0, axis)
    keep, swap, tip = (1 + cosine) / 2, direction**2 * (1 - cosine) / 2, -1j * direction * sine
    store = direction.conjugate() * sine

    def rotate(state: Magnetisation) -> Magnetisation:
        transverse, longitudinal = state
        return Magnetisation(
            keep * transverse + swap * transverse.conj() + tip * longitudinal,
            cosine * longitudinal + (store * transverse).imag,
        )

    return rotate


def precession(seconds: float, spins: Isochromats) -> Action:
    """Precess freely and relax.

    Args:
        seconds: how long.
        spins: the isochromats; static dephasing is not applied, it belongs to the readout.

    Example:
        >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        >>> spins = Isochromats(one, one, one, zero, zero, one, zero, zero, zero)
        >>> state = precession(math.log(2), spins)(Magnetisation(one.to(torch.complex128), zero))
        >>> state.transverse.real, state.longitudinal
        (tensor([0.5000], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
    """
    size, phase = torch.exp(-seconds / spins.t2), -2 * math.pi * spins.frequency * seconds
    turn = torch.polar(*torch.broadcast_tensors(size, phase))
    decay = torch.exp(-seconds / spins.t1)
    recovered = spins.equilibrium * (1 - decay)

    def precess(state: Magnetisation) -> Magnetisation:
        return Magnetisation(turn * state.transverse, decay * state.longitudinal + recovered)

    return precess


def gradient(cycles: Tensor) -> Action:
    """Turn the phase by the moment of a gradient.

    Args:
        cycles: turns of each isochromat; phase goes as exp(-i 2 pi cycles).

    Example:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> gradient(one / 4)(Magnetisation(one.to(torch.complex128), 0 * one)).transverse.imag
        tensor([-1.], dtype=torch.float64)
    """
    turn = torch.polar(torch.ones_like(cycles), -2 * math.pi * cycles)
    return lambda state: Magnetisation(turn * state.transverse, state.longitudinal)


def spoil(state: Magnetisation) -> Magnetisation:
    """Take all transverse magnetisation away, whatever its history."""
    return Magnetisation(torch.zeros_like(state.transverse), state.longitudinal)
