import math
from collections.abc import Callable, Sequence

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coils import combine
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.scan import Readout, readout_decay, scan_kspace
from kseg.transforms.sequences import GradientEcho, InversionRecovery, PulseSequence, SpinEcho
from kseg.transforms.tissues import Tissue, load_tissue_table, tissue_list

NAMES = ("air", "csf", "gm", "wm", "fat")
TISSUES = tissue_list(load_tissue_table("1.5T"), NAMES)
SEQUENCES = [SpinEcho(), GradientEcho(), InversionRecovery()]
MakeFractions = Callable[[int, int, int], Tensor]


def error(result: Tensor, expected: Tensor) -> float:
    """Root-mean-square error relative to what is expected."""
    return float((result - expected).norm() / expected.norm())


def uniform(n_y: int, n_x: int) -> Tensor:
    """One coil that receives the same everywhere."""
    return torch.ones(1, 1, n_y, n_x, dtype=torch.complex64)


def receive(n_coils: int, n_y: int, n_x: int) -> Tensor:
    return coil_maps(n_coils, (n_y, n_x), torch.Generator().manual_seed(5))


def smooth_map(n_slices: int, n_y: int, n_x: int) -> Tensor:
    """Between about -1 and 1, different in every slice."""
    z, y, x = (torch.linspace(-1, 1, n) for n in (n_slices, n_y, n_x))
    return torch.sin(2 * y[:, None] + x + z[:, None, None]) * torch.cos(3 * x - y[:, None])


def mixed(fractions: Tensor, sequence: PulseSequence, tissues: Sequence[Tissue] = TISSUES) -> Tensor:
    return torch.einsum("tzyx,t->zyx", fractions, sequence.signal(tissues))[:, None]


def by_tissue(
    fractions: Tensor, sequence: PulseSequence, maps: Tensor, decay: Tensor, b1: float = 1.0
) -> Tensor:
    """One Fourier transform per tissue, each weighted by its own decay along ky; double precision."""
    kspace = torch.zeros((), dtype=torch.complex128)
    for fraction, signal, course in zip(
        fractions.double(), sequence.signal(TISSUES, b1).double(), decay, strict=True
    ):
        image = signal * fraction[:, None] * maps.movedim(0, 1).to(torch.complex128)
        kspace = kspace + fft2c(image) * course[:, None]
    return kspace


def sample_by_sample(
    fractions: Tensor, sequence: PulseSequence, maps: Tensor, b0: Tensor, b1: Tensor, te: float
) -> Tensor:
    """The defining sum over voxels and tissues, one sample at a time; te is the phase time before the echo."""
    n_slices, n_y, n_x = fractions.shape[1:]
    y, x = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (n_y, n_x))
    signal = sequence.signal(TISSUES, b1).double()
    kspace = torch.zeros(n_slices, len(maps), n_y, n_x, dtype=torch.complex128)
    for row, time in enumerate(Readout().times(n_y).tolist()):
        emitted = torch.zeros(n_slices, n_y, n_x, dtype=torch.complex128)
        for tissue, fraction, echo in zip(TISSUES, fractions.double(), signal, strict=True):
            rate = (
                time / tissue.t2 + abs(time) * tissue.dephasing_rate
                if sequence.refocused
                else time / tissue.t2_star
            )
            cycles = (b0.double() + tissue.off_resonance) * (time + te)
            emitted += fraction * echo * math.exp(-rate) * torch.exp(-2j * math.pi * cycles)
        for column in range(n_x):
            wave = torch.exp(-2j * math.pi * (y[row] * y[:, None] / n_y + x[column] * x / n_x))
            for coil, sensitivity in enumerate(maps):
                kspace[:, coil, row, column] = (emitted * sensitivity * wave).sum((1, 2))
    return kspace / math.sqrt(n_y * n_x)


def asymmetry(kspace: Tensor) -> float:
    """|S(k) - exp(i phi) conj(S(-k))| / |S| with the best global phase phi; odd sizes, so that -k is a flip."""
    mirrored = kspace.flip((-2, -1)).conj()
    direction = (mirrored.conj() * kspace).sum()
    return error(mirrored * direction / direction.abs(), kspace)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("shape", [(3, 54, 45), (2, 13, 8), (1, 7, 7)])
def test_a_plain_scan_is_the_fourier_transform_of_the_mixed_image(
    make_fractions: MakeFractions, sequence: PulseSequence, shape: tuple[int, int, int]
):
    fractions = make_fractions(*shape)
    water = [Tissue(t.pd, t.t1, t.t2, t.t2_star) for t in TISSUES]
    maps = receive(2, *shape[1:])
    kspace = scan_kspace(fractions, water, sequence, maps=maps)
    image = mixed(fractions, sequence, water)
    assert kspace.dtype == torch.complex64
    assert error(kspace, fft2c(image * maps.movedim(0, 1))) < 1e-6
    assert error(kspace, fft2c(image * maps.movedim(0, 1).conj())) > 0.1


def test_signals_are_mixed_not_relaxation_times():
    half = torch.full((2, 1, 4, 4), 0.5)
    csf, wm = TISSUES[1], TISSUES[3]
    image = ifft2c(scan_kspace(half, [csf, wm], SpinEcho(), maps=uniform(4, 4)))
    mean = Tissue((csf.pd + wm.pd) / 2, (csf.t1 + wm.t1) / 2, (csf.t2 + wm.t2) / 2, 0.05)
    assert image.real[0, 0, 2, 2] == pytest.approx(float(SpinEcho().signal([csf, wm]).mean()), rel=1e-5)
    assert image.real[0, 0, 2, 2] != pytest.approx(float(SpinEcho().signal([mean])), rel=0.05)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("bandwidth", [80e3, 10e3])
def test_the_decay_is_that_of_every_tissue_for_itself(
    make_fractions: MakeFractions, sequence: PulseSequence, bandwidth: float
):
    fractions, maps, readout = make_fractions(2, 54, 45), receive(2, 54, 45), Readout(bandwidth)
    kspace = scan_kspace(fractions, TISSUES, sequence, maps=maps, readout=readout)
    times = readout.times(54)
    assert error(kspace, by_tissue(fractions, sequence, maps, readout_decay(TISSUES, sequence, times))) < 1e-5
    reversed_time = readout_decay(TISSUES, sequence, -times)
    assert error(kspace, by_tissue(fractions, sequence, maps, reversed_time)) > 1e-3


def test_a_spin_echo_is_brightest_before_the_echo_and_static_dephasing_makes_a_cusp():
    times = torch.tensor([-0.02, 0.0, 0.02], dtype=torch.float64)
    tissue = Tissue(pd=1.0, t1=1.0, t2=0.08, t2_star=0.04, off_resonance=10.0)
    spin_echo = readout_decay([tissue], SpinEcho(), times)[0]
    gradient_echo = readout_decay([tissue], GradientEcho(te=0.005), times)[0]
    # 1/T2 = 1/T2' = 12.5 per second: before the echo they cancel, after it they add.
    assert spin_echo.abs().tolist() == pytest.approx([1.0, 1.0, math.exp(-0.5)])
    assert spin_echo.angle().tolist() == pytest.approx([0.4 * math.pi, 0.0, -0.4 * math.pi])
    assert gradient_echo.abs().tolist() == pytest.approx([math.exp(0.5), 1.0, math.exp(-0.5)])
    assert gradient_echo.angle().tolist() == pytest.approx([0.3 * math.pi, -0.1 * math.pi, -0.5 * math.pi])


@pytest.mark.parametrize("voxels", [3, -5])
def test_a_uniform_off_resonance_moves_a_spin_echo_along_y(make_fractions: MakeFractions, voxels: int):
    fractions = make_fractions(1, 54, 45)
    water = [Tissue(t.pd, t.t1, 1e9, 1e9) for t in TISSUES]
    readout = Readout(bandwidth=27e3)
    b0 = torch.full((1, 54, 45), voxels * readout.bandwidth / 54)
    kspace = scan_kspace(fractions, water, SpinEcho(), maps=uniform(54, 45), readout=readout, b0=b0)
    image = mixed(fractions, SpinEcho(), water)
    # exp(-i 2 pi b0 t) is the phase of a shift by b0 n_y / bandwidth voxels.
    assert error(ifft2c(kspace), image.roll(voxels, -2)) < 1e-5
    assert error(ifft2c(kspace), image.roll(-voxels, -2)) > 0.1
    assert error(ifft2c(kspace), image.roll(voxels, -1)) > 0.1


def test_a_gradient_echo_also_turns_by_what_builds_up_until_the_echo(make_fractions: MakeFractions):
    fractions = make_fractions(1, 54, 45)
    water = [Tissue(t.pd, t.t1, 1e9, 1e9) for t in TISSUES]
    sequence, readout, frequency = GradientEcho(te=0.005), Readout(bandwidth=27e3), 500.0 + 40.0
    b0 = torch.full((1, 54, 45), frequency)
    kspace = scan_kspace(fractions, water, sequence, maps=uniform(54, 45), readout=readout, b0=b0)
    point = torch.zeros(1, 54, 45)
    point[0, 30, 20] = 1
    image = ifft2c(
        scan_kspace(point[None], [water[1]], sequence, maps=uniform(54, 45), readout=readout, b0=b0)
    )
    assert int(image.abs().argmax()) == 31 * 45 + 20
    centre = kspace[0, 0, 27, 22]
    expected = fft2c(mixed(fractions, sequence, water).to(torch.complex64))[0, 0, 27, 22]
    assert (centre / expected).angle() == pytest.approx(-2 * math.pi * (frequency * 0.005 - 3), abs=1e-4)


def test_fat_is_displaced_and_water_is_not(make_fractions: MakeFractions):
    fractions = make_fractions(1, 54, 45)
    slow = [Tissue(t.pd, t.t1, 1e9, 1e9, t.off_resonance) for t in TISSUES]
    readout = Readout(bandwidth=220.0 * 54 / 4)
    only_fat, no_fat = fractions.clone(), fractions.clone()
    only_fat[:4] = 0
    no_fat[4] = 0
    scans = [
        ifft2c(scan_kspace(part, slow, SpinEcho(), maps=uniform(54, 45), readout=readout))
        for part in (only_fat, no_fat, fractions)
    ]
    assert error(scans[0], mixed(only_fat, SpinEcho(), slow).roll(-4, -2)) < 1e-5
    assert error(scans[1], mixed(no_fat, SpinEcho(), slow)) < 1e-5
    assert error(scans[2], scans[0] + scans[1]) < 1e-5


def test_without_a_readout_fat_has_the_phase_of_the_echo():
    fat = TISSUES[4]
    sequence = GradientEcho(te=0.001)
    image = ifft2c(scan_kspace(torch.ones(1, 1, 4, 4), [fat], sequence, maps=uniform(4, 4)))
    assert image[0, 0, 2, 2].angle() == pytest.approx(2 * math.pi * 0.22, abs=1e-5)
    image = ifft2c(scan_kspace(torch.ones(1, 1, 4, 4), [fat], SpinEcho(), maps=uniform(4, 4)))
    assert image[0, 0, 2, 2].angle() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_an_off_resonance_of_zero_changes_nothing(make_fractions: MakeFractions, sequence: PulseSequence):
    fractions, maps = make_fractions(2, 54, 45), receive(2, 54, 45)
    on_resonance = scan_kspace(fractions, TISSUES, sequence, maps=maps, readout=Readout())
    b0 = torch.zeros(2, 54, 45)
    assert (
        error(scan_kspace(fractions, TISSUES, sequence, maps=maps, readout=Readout(), b0=b0), on_resonance)
        < 1e-6
    )


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_scan_with_every_effect_is_the_defining_sum(make_fractions: MakeFractions, sequence: PulseSequence):
    shape = (2, 9, 8)
    fractions, maps = make_fractions(*shape), receive(2, *shape[1:])
    b0, b1 = 20 + 150 * smooth_map(*shape), 0.9 + 0.3 * smooth_map(*shape)
    kspace = scan_kspace(fractions, TISSUES, sequence, maps=maps, readout=Readout(), b0=b0, b1=b1)
    te = 0.0 if sequence.refocused else sequence.te
    assert error(kspace, sample_by_sample(fractions, sequence, maps, b0, b1, te)) < 1e-5
    assert error(kspace, sample_by_sample(fractions, sequence, maps, -b0, b1, te)) > 1e-2
    assert error(kspace, sample_by_sample(fractions, sequence, maps, b0, b1, 0.005 - te)) > 1e-2


def test_a_strong_off_resonance_is_still_exact(make_fractions: MakeFractions):
    shape = (1, 9, 8)
    fractions, maps, b1 = make_fractions(*shape), uniform(*shape[1:]), torch.ones(shape)
    b0 = 8000 * smooth_map(*shape)
    kspace = scan_kspace(fractions, TISSUES, SpinEcho(), maps=maps, readout=Readout(), b0=b0)
    assert error(kspace, sample_by_sample(fractions, SpinEcho(), maps, b0, b1, 0.0)) < 1e-5


def test_kspace_is_hermitian_without_a_receive_phase_and_not_with_it(make_fractions: MakeFractions):
    fractions = make_fractions(1, 55, 45)
    plain = scan_kspace(fractions, TISSUES, SpinEcho(), maps=uniform(55, 45))
    decaying = scan_kspace(fractions, TISSUES, SpinEcho(), maps=uniform(55, 45), readout=Readout())
    assert asymmetry(plain) < 1e-6
    assert 1e-4 < asymmetry(decaying) < 0.05
    for seed in range(5):
        maps = coil_maps(1, (55, 45), torch.Generator().manual_seed(seed))
        assert asymmetry(scan_kspace(fractions, TISSUES, SpinEcho(), maps=maps, readout=Readout())) > 0.1


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_nominal_transmit_field_changes_nothing_and_a_weak_one_weighs_the_image(
    make_fractions: MakeFractions, sequence: PulseSequence
):
    fractions, maps = make_fractions(2, 54, 45), receive(1, 54, 45)
    scan = scan_kspace(fractions, TISSUES, sequence, maps=maps, readout=Readout())
    nominal = torch.ones(2, 54, 45)
    assert (
        error(scan_kspace(fractions, TISSUES, sequence, maps=maps, readout=Readout(), b1=nominal), scan)
        < 1e-6
    )
    b1 = 0.9 + 0.2 * smooth_map(2, 54, 45)
    weighed = (sequence.signal(TISSUES, b1) * fractions).sum(0)[:, None]
    water = [Tissue(t.pd, t.t1, t.t2, t.t2_star) for t in TISSUES]
    image = ifft2c(scan_kspace(fractions, water, sequence, maps=uniform(54, 45), b1=b1))
    assert error(image, weighed) < 1e-6
    assert error(image, mixed(fractions, sequence)) > 0.01


@pytest.mark.parametrize("n_coils", [1, 4, 8])
def test_combined_coils_give_the_image_back(make_fractions: MakeFractions, n_coils: int):
    fractions, maps = make_fractions(2, 54, 45), receive(n_coils, 54, 45)
    coil_images = ifft2c(scan_kspace(fractions, TISSUES, SpinEcho(), maps=maps))
    assert coil_images.shape == (2, n_coils, 54, 45)
    image = mixed(fractions, SpinEcho())[:, 0]
    assert error(combine(coil_images, maps.movedim(0, 1)), image) < 1e-6
    assert error(combine(coil_images, maps.movedim(0, 1).conj()), image) > 0.1


def test_every_slice_is_scanned_for_itself_in_blocks_of_any_size(
    make_fractions: MakeFractions, monkeypatch: pytest.MonkeyPatch
):
    shape = (5, 18, 15)
    fractions = make_fractions(*shape)
    maps = torch.cat([receive(2, *shape[1:]) * phase for phase in (1, 1j, -1, -1j, 1)], dim=1)
    b0, b1 = 50 * smooth_map(*shape), 0.9 + 0.2 * smooth_map(*shape)
    together = scan_kspace(fractions, TISSUES, GradientEcho(), maps=maps, readout=Readout(), b0=b0, b1=b1)
    monkeypatch.setattr("kseg.transforms.scan._BLOCK", 2 * maps[:, 0].numel())
    in_pairs = scan_kspace(fractions, TISSUES, GradientEcho(), maps=maps, readout=Readout(), b0=b0, b1=b1)
    assert error(in_pairs, together) < 1e-6
    for index in range(5):
        one = slice(index, index + 1)
        alone = scan_kspace(
            fractions[:, one],
            TISSUES,
            GradientEcho(),
            maps=maps[:, one],
            readout=Readout(),
            b0=b0[one],
            b1=b1[one],
        )
        assert error(alone, together[one]) < 1e-5


def test_a_scan_is_linear_in_the_fractions_and_lets_gradients_pass(
    make_fractions: MakeFractions, monkeypatch: pytest.MonkeyPatch
):
    fractions = make_fractions(2, 18, 15).requires_grad_()
    b0 = 50 * smooth_map(2, 18, 15)
    monkeypatch.setattr("kseg.transforms.scan._BLOCK", 1)
    kspace = scan_kspace(fractions, TISSUES, SpinEcho(), maps=receive(2, 18, 15), readout=Readout(), b0=b0)
    energy = kspace.abs().square().sum()
    (gradient,) = torch.autograd.grad(energy, fractions)
    # Euler: a quadratic form's gradient along its argument is twice its value.
    along = (gradient * fractions.detach()).sum()
    assert float(along / (2 * energy.detach())) == pytest.approx(1.0, abs=1e-5)


def test_the_echo_is_sampled_at_the_centre_of_kspace():
    assert Readout(bandwidth=10.0).times(4).tolist() == pytest.approx([-0.2, -0.1, 0.0, 0.1])
    assert Readout(bandwidth=10.0).times(5).tolist() == pytest.approx([-0.2, -0.1, 0.0, 0.1, 0.2])


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan])
def test_a_bandwidth_must_be_positive(bandwidth: float):
    with pytest.raises(ValueError, match="readout: expected a bandwidth above 0 Hz, received"):
        Readout(bandwidth)


@pytest.mark.parametrize("shape", [(4, 1, 9, 8), (5, 9, 8)])
def test_fractions_must_belong_to_the_tissues(shape: tuple[int, ...]):
    with pytest.raises(
        ValueError, match=r"scan: expected fractions \(tissue, slice, y, x\) of 5 tissues, received"
    ):
        scan_kspace(torch.ones(shape), TISSUES, SpinEcho(), maps=uniform(9, 8))


@pytest.mark.parametrize("shape", [(1, 9, 8), (1, 3, 9, 8), (1, 1, 8, 9)])
def test_maps_must_lie_on_the_grid(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"scan: expected maps \(coil, 1 or 2, 9, 8\), received"):
        scan_kspace(torch.ones(5, 2, 9, 8), TISSUES, SpinEcho(), maps=torch.ones(shape))


@pytest.mark.parametrize("name", ["b0", "b1"])
def test_fields_must_lie_on_the_grid(name: str):
    field = {name: torch.ones(1, 9, 8)}
    with pytest.raises(
        ValueError, match=rf"scan: expected {name} \(slice, y, x\) = \(2, 9, 8\), received \(1, 9, 8\)"
    ):
        scan_kspace(
            torch.ones(5, 2, 9, 8), TISSUES, SpinEcho(), maps=uniform(9, 8), readout=Readout(), **field
        )


def test_an_off_resonance_needs_a_readout():
    with pytest.raises(ValueError, match="scan: expected a readout with an off-resonance map, received none"):
        scan_kspace(torch.ones(5, 1, 9, 8), TISSUES, SpinEcho(), maps=uniform(9, 8), b0=torch.ones(1, 9, 8))


def test_what_is_nulled_at_the_nominal_field_decays_where_the_field_is_another(make_fractions: MakeFractions):
    fat = TISSUES[NAMES.index("fat")]
    null = brentq(lambda ti: float(InversionRecovery(ti=ti).signal([fat])), 0.05, 0.5)
    sequence, readout = InversionRecovery(ti=null), Readout(bandwidth=20e3)
    fractions, maps = make_fractions(2, 54, 45), uniform(54, 45)
    kspace = scan_kspace(
        fractions, TISSUES, sequence, maps=maps, readout=readout, b1=torch.full((2, 54, 45), 0.85)
    )
    decay = readout_decay(TISSUES, sequence, readout.times(54))
    assert error(kspace, by_tissue(fractions, sequence, maps, decay, 0.85)) < 2e-5


@pytest.mark.parametrize(
    ("sequence", "before", "after"),
    [
        (GradientEcho(te=0.005, tr=0.25), "5", "245"),
        (GradientEcho(te=0.01, tr=0.015), "10", "5"),
        (SpinEcho(te=0.015, tr=3.0), "7.5", "2985"),
        (SpinEcho(te=0.02, tr=0.025), "10", "5"),
        (InversionRecovery(te=0.015, tr=5.0), "7.5", "4185"),
        (InversionRecovery(te=0.02, tr=0.825), "10", "5"),
    ],
)
def test_a_readout_lies_between_pulses(sequence: PulseSequence, before: str, after: str):
    scan = {"fractions": torch.ones(5, 1, 16, 4), "tissues": TISSUES, "maps": uniform(16, 4)}
    message = (
        rf"^scan: expected a readout that starts less than {before} ms before the echo and ends at most {after} "
        r"ms behind it, received 16 samples from -8 ms to 7 ms$"
    )
    with pytest.raises(ValueError, match=message):
        scan_kspace(**scan, sequence=sequence, readout=Readout(bandwidth=1e3))
    fits = 8 / (0.9999 * min(float(before), float(after)) * 1e-3)
    scan_kspace(**scan, sequence=sequence, readout=Readout(bandwidth=fits))
