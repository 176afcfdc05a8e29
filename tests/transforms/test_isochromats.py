import math

import pytest
import torch
from torch import Tensor

from kseg.transforms.isochromats import Isochromats, Magnetisation, gradient, precession, pulse, spoil


def state(seed: int = 0) -> Magnetisation:
    x, y, z = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Magnetisation(torch.complex(x, y), z)


def vector(magnetisation: Magnetisation) -> Tensor:
    """(x, y, z) of each isochromat."""
    transverse, longitudinal = magnetisation
    return torch.stack((transverse.real, transverse.imag, longitudinal))


def rotation(angle: float, axis: float) -> Tensor:
    """Rodrigues' matrix of a right-handed rotation about (cos axis, sin axis, 0)."""
    u = torch.tensor([math.cos(axis), math.sin(axis), 0.0], dtype=torch.float64)
    cross = torch.linalg.cross(u.expand(3, 3), torch.eye(3, dtype=torch.float64)).T
    return (
        math.cos(angle) * torch.eye(3, dtype=torch.float64)
        + math.sin(angle) * cross
        + (1 - math.cos(angle)) * torch.outer(u, u)
    )


def spins(t1: float = 0.8, t2: float = 0.1, frequency: float = 0.0, equilibrium: float = 1.0) -> Isochromats:
    zero = torch.zeros(7, dtype=torch.float64)
    one = zero + 1
    return Isochromats(equilibrium * one, t1 * one, t2 * one, zero, frequency * one, one, zero, zero, zero)


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, 2.5, math.pi])
@pytest.mark.parametrize("axis", [0.0, math.pi / 2, 1.0, -2.0])
def test_a_pulse_is_a_right_handed_rotation(angle: float, axis: float):
    before = state()
    after = pulse(torch.full((7,), angle, dtype=torch.float64), axis)(before)
    assert torch.allclose(vector(after), rotation(angle, axis) @ vector(before))


def test_every_isochromat_turns_by_its_own_angle():
    angles = torch.linspace(0, math.pi, 7, dtype=torch.float64)
    rest = Magnetisation(torch.zeros(7, dtype=torch.complex128), torch.ones(7, dtype=torch.float64))
    excited = pulse(angles, math.pi / 2)(rest)
    assert torch.allclose(excited.transverse.real, torch.sin(angles))
    assert torch.allclose(excited.longitudinal, torch.cos(angles))


def test_precession_turns_and_relaxes_towards_equilibrium():
    before = state()
    after = precession(0.05, spins(t1=0.8, t2=0.1, frequency=3.0, equilibrium=0.7))(before)
    turned = before.transverse * torch.exp(torch.tensor(-0.5 - 2j * math.pi * 0.15))
    assert torch.allclose(after.transverse, turned)
    assert torch.allclose(after.longitudinal, 0.7 + (before.longitudinal - 0.7) * math.exp(-0.05 / 0.8))


def test_two_halves_of_a_delay_are_the_whole():
    half, whole = precession(0.02, spins(frequency=3.0)), precession(0.04, spins(frequency=3.0))
    twice = half(half(state()))
    assert torch.allclose(vector(twice), vector(whole(state())))


def test_a_half_turn_about_x_refocuses_what_precession_spread():
    rest = Magnetisation(torch.zeros(7, dtype=torch.complex128), torch.ones(7, dtype=torch.float64))
    spread = torch.linspace(-40, 40, 7, dtype=torch.float64)
    sample = Isochromats(*(value + 0 for value in vars(spins(t1=1e9, t2=1e9)).values()))
    sample = Isochromats(**{**vars(sample), "frequency": spread})
    free = precession(0.01, sample)
    excited = pulse(torch.full((7,), math.pi / 2, dtype=torch.float64), math.pi / 2)(rest)
    dephased = free(excited)
    echo = free(pulse(torch.full((7,), math.pi, dtype=torch.float64), 0.0)(dephased))
    assert torch.allclose(echo.transverse, torch.ones(7, dtype=torch.complex128))
    assert float(dephased.transverse.mean().abs()) < 0.7


def test_gradients_turn_the_transverse_part_alone_and_undo_each_other():
    cycles = torch.linspace(-1, 1, 7, dtype=torch.float64)
    before = state()
    turned = gradient(cycles)(before)
    assert torch.allclose(turned.transverse, before.transverse * torch.exp(-2j * math.pi * cycles))
    assert torch.equal(turned.longitudinal, before.longitudinal)
    assert torch.allclose(gradient(-cycles)(turned).transverse, before.transverse)


def test_spoiling_leaves_the_longitudinal_part():
    spoiled = spoil(state())
    assert torch.equal(spoiled.longitudinal, state().longitudinal)
    assert not spoiled.transverse.any()
