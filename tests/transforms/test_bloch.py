import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kseg.transforms.bloch import BlochScanner
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.fourier import ifft2c
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.sequences import GradientEcho, InversionRecovery, PulseSequence, SpinEcho
from kseg.transforms.tissues import Tissue, load_tissue_table, tissue_list

NAMES = ("air", "csf", "gm", "wm", "fat")
TISSUES = tissue_list(load_tissue_table("1.5T"), NAMES)
TISSUES_3T = tissue_list(load_tissue_table("3T"), NAMES)
SHAPE = (1, 54, 45)
IDEAL = BlochScanner(dummies=1, z_spins=1, crusher_cycles=0)
Y, X = torch.linspace(-1, 1, 54)[:, None], torch.linspace(-1, 1, 45)
B0 = (25 + 35 * (Y * X + 0.5 * X))[None]
B1 = (1.05 - 0.25 * (X**2 + Y**2).clamp(max=1.4))[None]
MAPS = coil_maps(2, SHAPE[1:], torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def fractions(make_fractions: Callable[[int, int, int], Tensor]) -> Tensor:
    return make_fractions(*SHAPE)


def error(result: Tensor, expected: Tensor) -> float:
    """Root-mean-square error relative to what is expected."""
    return float((result - expected).norm() / expected.norm())


def one_voxel(
    tissue: Tissue, sequence: PulseSequence, scanner: BlochScanner, n_lines: int, b1: float = 1.0
) -> Tensor:
    """Echo of every line of a voxel in the centre, where no gradient turns the phase: complex `(line,)`."""
    fractions = torch.zeros(1, 1, 1, n_lines)
    fractions[..., n_lines // 2] = 1
    transmit = torch.full((1, 1, n_lines), b1)
    maps = torch.ones(1, 1, 1, n_lines, dtype=torch.complex64)
    return scanner.scan_kspace(fractions, [tissue], sequence, maps=maps, b1=transmit)[0, 0, 0] * math.sqrt(
        n_lines
    )


@pytest.mark.parametrize("sequence", [SpinEcho(), InversionRecovery(), GradientEcho(flip_deg=90.0)])
@pytest.mark.parametrize("effects", ["none", "readout", "b0"])
def test_ideal_scans_are_the_closed_form(fractions: Tensor, sequence: PulseSequence, effects: str):
    readout = None if effects == "none" else Readout()
    b0 = B0 if effects == "b0" else None
    expected = scan_kspace(fractions, TISSUES, sequence, maps=MAPS, readout=readout, b0=b0)
    received = IDEAL.scan_kspace(fractions, TISSUES, sequence, maps=MAPS, readout=readout, b0=b0)
    assert received.dtype == torch.complex64
    assert error(received, expected) < 1e-5
    if effects == "b0":
        other = IDEAL.scan_kspace(fractions, TISSUES, sequence, maps=MAPS, readout=readout, b0=-B0)
        assert error(other, expected) > 1e-3


@pytest.mark.parametrize("tissues", [TISSUES, TISSUES_3T])
def test_a_weak_transmit_field_is_the_closed_form_with_crushers_alone(
    fractions: Tensor, tissues: list[Tissue]
):
    expected = scan_kspace(fractions, tissues, SpinEcho(), maps=MAPS, readout=Readout(), b1=B1)
    crushed, bare = (
        scanner.scan_kspace(fractions, tissues, SpinEcho(), maps=MAPS, readout=Readout(), b1=B1)
        for scanner in (BlochScanner(), BlochScanner(crusher_cycles=0.0))
    )
    assert error(crushed, expected) < 5e-3
    assert error(bare, expected) > 5e-2


def test_static_dephasing_by_spins_is_the_closed_form(fractions: Tensor):
    expected = scan_kspace(fractions, TISSUES, SpinEcho(), maps=MAPS, readout=Readout())
    spins = replace(IDEAL, dephasing_spins=16)
    received = spins.scan_kspace(fractions, TISSUES, SpinEcho(), maps=MAPS, readout=Readout())
    assert error(received, expected) < 5e-3


def test_more_spins_dephase_more_precisely_in_a_slow_readout(
    make_fractions: Callable[[int, int, int], Tensor],
):
    fractions, maps, readout = make_fractions(1, 27, 23), torch.ones(1, 1, 27, 23) + 0j, Readout(2.5e3)
    tissues = [replace(tissue, t2_star=min(tissue.t2_star, 0.03)) for tissue in TISSUES]
    without = [replace(tissue, t2_star=tissue.t2) for tissue in tissues]
    expected = scan_kspace(fractions, tissues, SpinEcho(), maps=maps, readout=readout)
    few, many = (
        error(
            replace(IDEAL, dephasing_spins=spins).scan_kspace(
                fractions, tissues, SpinEcho(), maps=maps, readout=readout
            ),
            expected,
        )
        for spins in (16, 256)
    )
    assert many < 5e-3
    assert many < few / 2
    undephased = IDEAL.scan_kspace(fractions, without, SpinEcho(), maps=maps, readout=readout)
    assert error(undephased, expected) > 1.5e-2


def test_static_dephasing_by_spins_decays_a_gradient_echo_and_not_a_spin_echo():
    tissue = Tissue(pd=1.0, t1=0.3, t2=0.1, t2_star=0.025)
    spins = replace(IDEAL, dephasing_spins=400)
    gradient_echo = one_voxel(tissue, GradientEcho(te=0.02, tr=3.0, flip_deg=90), spins, 2)
    spin_echo = one_voxel(tissue, SpinEcho(te=0.02, tr=3.0), spins, 2)
    assert gradient_echo.real.tolist() == pytest.approx([math.exp(-0.8)] * 2, rel=0.01)
    assert spin_echo.real.tolist() == pytest.approx([math.exp(-0.2)] * 2, rel=1e-3)


def test_an_unspoiled_spin_echo_shows_what_survives_the_repetition(fractions: Tensor):
    # The T2 of CSF at 3 T is half the repetition time.
    expected = scan_kspace(fractions, TISSUES_3T, SpinEcho(), maps=MAPS, readout=Readout())
    unspoiled = replace(IDEAL, dummies=4, spoiler_cycles=0.0)
    received = unspoiled.scan_kspace(fractions, TISSUES_3T, SpinEcho(), maps=MAPS, readout=Readout())
    assert error(received, expected) > 5e-2
    spoiled = replace(unspoiled, z_spins=16, spoiler_cycles=5.0)
    by_gradients = spoiled.scan_kspace(fractions, TISSUES_3T, SpinEcho(), maps=MAPS, readout=Readout())
    assert error(by_gradients, expected) < 2e-2


def test_the_first_line_is_brighter_without_dummies(fractions: Tensor):
    expected = scan_kspace(fractions, TISSUES, SpinEcho(), maps=MAPS, readout=Readout())
    received = replace(IDEAL, dummies=0).scan_kspace(
        fractions, TISSUES, SpinEcho(), maps=MAPS, readout=Readout()
    )
    assert error(received[..., 1:], expected[..., 1:]) < 1e-5
    assert error(received[..., :1], expected[..., :1]) > 1e-2


@pytest.mark.parametrize("dummies", [0, 3])
def test_the_approach_to_the_steady_state_is_the_recursion_of_mz(dummies: int):
    tissue = Tissue(pd=0.8, t1=0.5, t2=0.05, t2_star=0.05)
    sequence, b1, n_lines = SpinEcho(te=0.02, tr=0.1, flip_deg=60.0, refocus_deg=170.0), 0.9, 8
    scanner = BlochScanner(dummies=dummies, z_spins=64, crusher_cycles=2.0)
    flip, refocus = math.radians(60 * b1), math.radians(170 * b1)
    mz, expected = 1.0, []
    for _ in range(n_lines + dummies):
        expected.append(0.8 * mz * math.sin(flip) * math.sin(refocus / 2) ** 2 * math.exp(-0.02 / 0.05))
        mz = 1 + (mz * math.cos(flip) - 1) * math.exp(-0.01 / 0.5)
        mz = 1 + (mz * math.cos(refocus) - 1) * math.exp(-0.09 / 0.5)
    received = one_voxel(tissue, sequence, scanner, n_lines, b1)
    # What one crusher stores and the next recalls is a stimulated echo of a few per cent of sin(refocus).
    assert received.real.tolist() == pytest.approx(expected[dummies:], abs=0.03)
    assert received.imag.abs().max() < 0.05
    assert max(expected) > 2 * min(expected)


def test_the_free_induction_of_an_imperfect_refocusing_pulse_is_what_crushers_take():
    tissue = Tissue(pd=1.0, t1=0.5, t2=0.1, t2_star=0.1)
    sequence, b1 = SpinEcho(te=0.02, tr=5.0), 0.7
    angle = math.radians(180 * b1)
    bare = one_voxel(tissue, sequence, replace(IDEAL, dummies=0), 1, b1)[0]
    crushed = one_voxel(tissue, sequence, BlochScanner(dummies=0), 1, b1)[0]
    transverse = math.sin(angle / 2) * math.exp(-0.1)
    longitudinal = 1 + (math.cos(angle / 2) - 1) * math.exp(-0.02)
    refocused = transverse * math.exp(-0.1) * math.sin(angle / 2) ** 2
    unrefocused = transverse * math.exp(-0.1) * math.cos(angle / 2) ** 2
    induction = -1j * math.sin(angle) * longitudinal * math.exp(-0.1)
    assert complex(crushed) == pytest.approx(refocused, abs=1e-6)
    assert complex(bare) == pytest.approx(refocused + unrefocused + induction, abs=1e-6)


def test_free_induction_is_not_phase_encoded_and_lies_in_the_middle_column(fractions: Tensor):
    weak = torch.full(SHAPE, 0.8)
    maps = torch.ones(1, *SHAPE, dtype=torch.complex64)
    crushed, bare = (
        BlochScanner(crusher_cycles=cycles).scan_kspace(fractions, TISSUES, SpinEcho(), maps=maps, b1=weak)
        for cycles in (2.0, 0.0)
    )
    energy = ifft2c(bare - crushed)[0, 0].abs().square().sum(0)
    # The path without refocusing is mirrored about the image's centre and fills the rest.
    assert int(energy.argmax()) == 45 // 2
    assert float(energy[45 // 2] / energy.sum()) > 0.5


@pytest.mark.parametrize(
    "sequence", [GradientEcho(te=0.005, tr=0.25, flip_deg=70), InversionRecovery(te=0.02, tr=1.5, ti=0.4)]
)
def test_other_sequences_reach_their_steady_state(fractions: Tensor, sequence: PulseSequence):
    expected = scan_kspace(fractions, TISSUES, sequence, maps=MAPS, readout=Readout(), b0=B0, b1=B1)
    settled, early = (
        BlochScanner(dummies=dummies).scan_kspace(
            fractions, TISSUES, sequence, maps=MAPS, readout=Readout(), b0=B0, b1=B1
        )
        for dummies in (40, 0)
    )
    assert error(settled, expected) < 5e-3
    assert error(early[..., :1], expected[..., :1]) > 0.1


def test_every_slice_and_chunk_is_scanned_for_itself(
    make_fractions: Callable[[int, int, int], Tensor], monkeypatch: pytest.MonkeyPatch
):
    fractions = make_fractions(3, 12, 9)
    maps = torch.cat([coil_maps(2, (12, 9), torch.Generator().manual_seed(seed)) for seed in range(3)], dim=1)
    b0, b1 = torch.linspace(-50, 50, 324).reshape(3, 12, 9), torch.linspace(0.8, 1.1, 324).reshape(3, 12, 9)
    expected = BlochScanner().scan_kspace(
        fractions, TISSUES, SpinEcho(), maps=maps, readout=Readout(), b0=b0, b1=b1
    )
    assert (
        error(
            expected, scan_kspace(fractions, TISSUES, SpinEcho(), maps=maps, readout=Readout(), b0=b0, b1=b1)
        )
        < 5e-3
    )
    monkeypatch.setattr("kseg.transforms.bloch._CHUNK", 100)
    chunked = BlochScanner().scan_kspace(
        fractions, TISSUES, SpinEcho(), maps=maps, readout=Readout(), b0=b0, b1=b1
    )
    assert error(chunked, expected) < 1e-6


def test_an_empty_phantom_gives_zeros():
    air = torch.ones(1, 2, 6, 5)
    kspace = BlochScanner().scan_kspace(air, TISSUES[:1], SpinEcho(), maps=torch.ones(1, 1, 6, 5) + 0j)
    assert torch.equal(kspace, torch.zeros(2, 1, 6, 5, dtype=torch.complex64))


@pytest.mark.parametrize("wrong", [{"dummies": -1}, {"z_spins": 0}, {"dephasing_spins": 0}])
def test_impossible_numbers_are_refused(wrong: dict[str, int]):
    with pytest.raises(
        ValueError, match="Bloch scanner: expected dummies of 0 or more and spins of 1 or more, received"
    ):
        BlochScanner(**wrong)


@pytest.mark.parametrize("wrong", [{"z_spins": 1}, {"z_spins": 4}, {"z_spins": 8, "spoiler_cycles": 8.0}])
def test_too_few_spins_for_a_crusher_are_refused(wrong: dict[str, float]):
    with pytest.raises(
        ValueError, match=r"Bloch scanner: expected more than .* z_spins for crushers of 2\.0 and spoilers"
    ):
        BlochScanner(**wrong)


def test_inputs_are_checked_as_in_the_closed_form(fractions: Tensor):
    with pytest.raises(ValueError, match=r"scan: expected fractions \(tissue, slice, y, x\) of 4 tissues"):
        IDEAL.scan_kspace(fractions, TISSUES[:4], SpinEcho(), maps=MAPS)
    with pytest.raises(ValueError, match="scan: expected a readout with an off-resonance map"):
        IDEAL.scan_kspace(fractions, TISSUES, SpinEcho(), maps=MAPS, b0=B0)
