import math

import pytest
import torch

from kseg.transforms.scan import Readout, readout_decay
from kseg.transforms.separation import OffResonance, chebyshev, separate_decay
from kseg.transforms.sequences import GradientEcho, SpinEcho
from kseg.transforms.tissues import load_tissue_table

TIMES = Readout().times(216)


def largest_error(decay: torch.Tensor, signal: torch.Tensor) -> tuple[float, int]:
    """Largest error of the separated signals, relative to the largest signal, and the number of terms."""
    coefficients, courses = separate_decay(decay, signal)
    error = signal[:, None] * (coefficients.T.to(torch.complex128) @ courses - decay)
    return float(error.abs().max() / signal.abs().max()), len(courses)


@pytest.mark.parametrize("field", ["1.5T", "3T"])
@pytest.mark.parametrize("sequence", [SpinEcho(), GradientEcho()])
def test_few_terms_reproduce_the_decay_of_every_tissue(field: str, sequence: SpinEcho):
    tissues = list(load_tissue_table(field).values())
    error, n_terms = largest_error(readout_decay(tissues, sequence, TIMES), sequence.signal(tissues))
    assert error < 2e-5
    assert n_terms <= 5


def test_a_slow_readout_takes_more_terms_and_stays_exact():
    tissues = list(load_tissue_table("1.5T").values())
    decay = readout_decay(tissues, SpinEcho(), Readout(bandwidth=4e3).times(216))
    error, n_terms = largest_error(decay, SpinEcho().signal(tissues))
    assert error < 2e-5
    assert n_terms > 5


def test_without_a_readout_and_without_signal_one_term_is_enough():
    tissues = list(load_tissue_table("1.5T").values())
    constant = torch.ones(len(tissues), 216, dtype=torch.complex128)
    error, n_terms = largest_error(constant, SpinEcho().signal(tissues))
    assert error < 1e-6
    assert n_terms == 1
    decay = readout_decay(tissues, SpinEcho(), TIMES)
    assert len(separate_decay(decay, torch.zeros(len(tissues)))[1]) == 1


def test_only_what_shows_a_signal_takes_terms():
    tissues = list(load_tissue_table("1.5T").values())
    decay = readout_decay(tissues, SpinEcho(), TIMES)
    only_fat = torch.tensor([float(tissue.off_resonance != 0) for tissue in tissues])
    assert len(separate_decay(decay, only_fat)[1]) == 1
    assert len(separate_decay(decay, SpinEcho().signal(tissues))[1]) > 2


@pytest.mark.parametrize(("lowest", "highest"), [(-300.0, 500.0), (-1.0, 1.0), (70.0, 70.0), (0.0, 0.0)])
@pytest.mark.parametrize("delay", [0.0, 0.005])
def test_polynomials_times_courses_are_the_phase_of_the_map(lowest: float, highest: float, delay: float):
    b0 = torch.linspace(lowest, highest, 60).reshape(3, 4, 5)
    field = OffResonance(b0, TIMES, delay)
    images, maps = field.modulate(torch.ones(1, 2, 4, 5), torch.ones(1, 1, 4, 5), slice(1, 3))
    phase = torch.einsum("pzyx,pt->zyxt", images.to(torch.complex128), field.courses) * maps[:, 0, ..., None]
    cycles = b0[1:3].double()[..., None] * (TIMES + delay)
    expected = torch.polar(torch.ones_like(cycles), -2 * math.pi * cycles)
    assert float((phase - expected).abs().max()) < 5e-6
    if highest > lowest + 10:
        assert float((phase - expected.conj()).abs().max()) > 0.1


def test_a_uniform_map_needs_one_polynomial_and_a_wide_one_few():
    assert len(OffResonance(torch.full((1, 2, 2), 70.0), TIMES, 0.0).courses) == 1
    n_terms = [len(OffResonance(torch.tensor([[[-b, b]]]), TIMES, 0.0).courses) for b in (10.0, 50.0, 500.0)]
    assert n_terms == sorted(n_terms)
    assert n_terms[-1] < 25


def test_chebyshev_polynomials_are_cosines_of_multiples():
    angle = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    order = torch.arange(8)[:, None]
    assert torch.allclose(chebyshev(torch.cos(angle), 8), torch.cos(order * angle))
    assert chebyshev(torch.cos(angle), 1).shape == (1, 50)
