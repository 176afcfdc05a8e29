import math

import pytest
import torch

from kseg.transforms.events import Delay, Encode, Pulse, Read
from kseg.transforms.sequences import (
    GradientEcho,
    InversionRecovery,
    PulseSequence,
    SpinEcho,
    require_time_jitter,
)
from kseg.transforms.tissues import Tissue, load_tissue_table

GM = Tissue(pd=0.86, t1=0.833, t2=0.083, t2_star=0.069)
FAT = Tissue(pd=1.0, t1=0.35, t2=0.07, t2_star=0.058, off_resonance=-220.0)
SEQUENCES = [
    SpinEcho(),
    SpinEcho(te=0.02, tr=0.3, flip_deg=70.0, refocus_deg=140.0),
    GradientEcho(),
    GradientEcho(te=0.01, tr=0.1, flip_deg=20.0),
    InversionRecovery(),
    InversionRecovery(te=0.03, tr=1.2, ti=0.3, flip_deg=80.0, refocus_deg=150.0, inversion_deg=165.0),
]


def recovered(mz: float, seconds: float, t1: float) -> float:
    return 1 + (mz - 1) * math.exp(-seconds / t1)


def played(sequence: PulseSequence, tissue: Tissue, b1: float, repetitions: int = 500) -> float:
    """Signal after many repetitions, one event after the other, with all transverse magnetisation spoiled."""
    mz, signal = 1.0, 0.0
    for _ in range(repetitions):
        transverse = 0.0
        for event in sequence.events():
            if isinstance(event, Pulse):
                angle = math.radians(event.angle_deg) * b1
                # Excitation is about y; pulses about x refocus what there is, or invert.
                if event.axis_deg == 90.0:
                    transverse = mz * math.sin(angle)
                else:
                    transverse *= math.sin(angle / 2) ** 2
                mz *= math.cos(angle)
            elif isinstance(event, Delay):
                mz = recovered(mz, event.seconds, tissue.t1)
                transverse *= math.exp(-event.seconds / tissue.t2)
            elif isinstance(event, Read):
                signal = transverse
    if not sequence.refocused:
        signal *= math.exp(-sequence.te * tissue.dephasing_rate)
    return tissue.pd * signal


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("b1", [1.0, 0.6, 1.1])
def test_the_steady_state_is_what_repetition_after_repetition_ends_in(sequence: PulseSequence, b1: float):
    expected = [played(sequence, tissue, b1) for tissue in (GM, FAT)]
    assert sequence.signal([GM, FAT], b1).tolist() == pytest.approx(expected, rel=2e-5)


def test_a_spin_echo_of_90_and_180_degrees_is_the_textbook_formula():
    sequence = SpinEcho(te=0.08, tr=3.0)
    tissues = list(load_tissue_table("1.5T").values())
    for tissue, signal in zip(tissues, sequence.signal(tissues).tolist(), strict=True):
        late, full = math.exp(-(3.0 - 0.04) / tissue.t1), math.exp(-3.0 / tissue.t1)
        assert signal == pytest.approx(
            tissue.pd * math.exp(-0.08 / tissue.t2) * (1 - 2 * late + full), rel=1e-5
        )


def test_a_spin_echo_of_long_tr_and_short_te_shows_the_proton_density():
    assert SpinEcho(te=1e-6, tr=100.0).signal([GM, FAT]).tolist() == pytest.approx([GM.pd, FAT.pd], rel=1e-4)


def test_a_gradient_echo_is_brightest_at_the_ernst_angle():
    tr = 0.05
    ernst = math.degrees(math.acos(math.exp(-tr / GM.t1)))
    angles = [ernst - 1, ernst, ernst + 1]
    below, at, above = (float(GradientEcho(te=0.005, tr=tr, flip_deg=angle).signal([GM])) for angle in angles)
    assert at > below
    assert at > above
    recovery = math.exp(-tr / GM.t1)
    brightest = GM.pd * math.exp(-0.005 / GM.t2_star) * math.sqrt((1 - recovery) / (1 + recovery))
    assert at == pytest.approx(brightest, rel=1e-5)


def test_only_the_gradient_echo_loses_what_static_dephasing_takes():
    pure = Tissue(pd=0.86, t1=0.833, t2=0.083, t2_star=0.083)
    assert torch.equal(SpinEcho().signal([GM]), SpinEcho().signal([pure]))
    lost = GradientEcho(te=0.02).signal([GM]) / GradientEcho(te=0.02).signal([pure])
    assert float(lost) == pytest.approx(math.exp(-0.02 * GM.dephasing_rate), rel=1e-5)


def test_inversion_recovery_nulls_a_tissue_and_is_negative_before():
    tr = 3.0
    # With te -> 0 the null lies where 1 - 2 exp(-TI / T1) + exp(-TR / T1) = 0.
    null = GM.t1 * math.log(2 / (1 + math.exp(-tr / GM.t1)))
    before, at, after = (
        float(InversionRecovery(te=1e-6, tr=tr, ti=ti).signal([GM])) for ti in (null - 0.1, null, null + 0.1)
    )
    assert abs(at) < 1e-5
    assert before < -0.01
    assert after > 0.01


def test_no_excitation_gives_no_signal_and_a_map_of_the_field_a_map_of_signal():
    b1 = torch.tensor([[0.0, 1.0], [0.8, 1.2]])
    for sequence in (SpinEcho(), GradientEcho(), InversionRecovery()):
        signal = sequence.signal([GM, FAT], b1)
        assert signal.shape == (2, 2, 2)
        assert torch.all(signal[:, 0, 0] == 0)
        assert torch.equal(signal[:, 0, 1], sequence.signal([GM, FAT]))
        assert torch.allclose(signal[:, 1, 0], sequence.signal([GM, FAT], 0.8))


def test_a_weak_field_costs_a_spin_echo_its_sine_cubed_when_all_recovers():
    angle = math.radians(90 * 0.7)
    signal = SpinEcho(te=1e-6, tr=100.0).signal([GM], 0.7)
    assert float(signal) == pytest.approx(GM.pd * math.sin(angle) ** 3, rel=1e-4)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_jittered_times_stay_within_bounds_and_fill_them(sequence: SpinEcho):
    generator = torch.Generator().manual_seed(3)
    drawn = [sequence.jittered(generator, 0.05) for _ in range(300)]
    for attribute in ("te", "tr"):
        ratio = [getattr(jittered, attribute) / getattr(sequence, attribute) for jittered in drawn]
        assert 0.95 <= min(ratio) < 0.953
        assert 1.047 < max(ratio) <= 1.05
        assert sum(ratio) / len(ratio) == pytest.approx(1.0, abs=0.005)
    te, tr = (torch.tensor([getattr(jittered, name) for jittered in drawn]) for name in ("te", "tr"))
    assert abs(float(torch.corrcoef(torch.stack((te, tr)))[0, 1])) < 0.2
    assert {type(jittered) for jittered in drawn} == {type(sequence)}


def test_jitter_depends_on_the_generator_alone_and_none_changes_nothing():
    first, again, other = (SpinEcho().jittered(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert SpinEcho().jittered(torch.Generator().manual_seed(1), 0.0) == SpinEcho()
    assert InversionRecovery().jittered(torch.Generator().manual_seed(1)).ti == InversionRecovery().ti


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_the_events_fill_one_repetition_with_the_echo_at_its_time(sequence: SpinEcho):
    events = sequence.events()
    assert sum(event.seconds for event in events if isinstance(event, Delay)) == pytest.approx(sequence.tr)
    excitation = events.index(Pulse(sequence.flip_deg, 90.0))
    until_echo = events[excitation : events.index(Read())]
    assert sum(event.seconds for event in until_echo if isinstance(event, Delay)) == pytest.approx(
        sequence.te
    )
    refocusing = [event for event in until_echo[1:] if isinstance(event, Pulse)]
    assert len(refocusing) == int(sequence.refocused)
    assert [event.sign for event in until_echo if isinstance(event, Encode)] == [1 - 2 * len(refocusing)]


@pytest.mark.parametrize(("te", "tr"), [(0.0, 1.0), (-0.1, 1.0), (1.0, 1.0), (2.0, 1.0), (math.nan, 1.0)])
@pytest.mark.parametrize("kind", [SpinEcho, GradientEcho])
def test_times_that_do_not_fit_are_refused(kind: type[SpinEcho], te: float, tr: float):
    with pytest.raises(ValueError, match=r"sequence times in seconds: expected 0 < te < tr .*, received te"):
        kind(te=te, tr=tr)


def test_inversion_needs_room_before_and_after_the_excitation():
    with pytest.raises(ValueError, match=r"expected 0 < te < tr \(after ti\), received te 0.3, tr 0.2"):
        InversionRecovery(te=0.3, tr=1.0, ti=0.8)
    with pytest.raises(ValueError, match=r"inversion recovery: expected ti > 0, received 0\.0"):
        InversionRecovery(ti=0.0)


@pytest.mark.parametrize("relative", [-0.1, 1.0, float("nan")])
def test_a_change_of_times_is_a_share_of_them(relative: float):
    message = rf"^time jitter: expected 0 or more and below 1, received {relative}$"
    with pytest.raises(ValueError, match=message):
        require_time_jitter(SpinEcho(), relative)


def test_times_fit_into_each_other_however_they_are_drawn():
    require_time_jitter(SpinEcho(te=0.08, tr=0.1), 0.1)
    require_time_jitter(InversionRecovery(te=0.08, tr=1.0, ti=0.8), 0.1)
    message = r"^sequence times in seconds: expected .*, received te 0\.0896, tr 0\.08"
    with pytest.raises(ValueError, match=message):
        require_time_jitter(SpinEcho(te=0.08, tr=0.1), 0.12)
    with pytest.raises(ValueError, match=message):
        require_time_jitter(InversionRecovery(te=0.08, tr=1.0, ti=0.8), 0.12)
