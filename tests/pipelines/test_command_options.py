"""Every option of the command arrives where it is needed."""

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from kseg.pipelines import command, command_options, segment, simulate, study
from kseg.pipelines.batch import BatchResult
from kseg.pipelines.command_options import ScanOptions
from kseg.pipelines.manifest import Shard
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.dictionary_sampling import MaskDraw
from kseg.transforms.dictionary_simulation import ScanProtocol
from kseg.transforms.noise import NoiseReference
from kseg.transforms.phantom import ORACLES
from kseg.transforms.sequences import SEQUENCES, InversionRecovery

Run = Callable[..., Any]

SCAN = (
    "--source brainweb_20 --oracle centre_slice --sequence inversion_recovery --te 0.02 --tr 6 --ti 0.5 --flip 80 "
    "--time-jitter 0.1 --tissues 3T --coils 8 --noise-reference rms --pattern uniform --center-lines 12 "
    "--mask-per slice --seed 9"
)
SCANNED = simulate.SimulationSettings(
    source="brainweb_20",
    oracle="centre_slice",
    protocol=ScanProtocol(
        InversionRecovery(te=0.02, tr=6.0, ti=0.5, flip_deg=80.0), tissues="3T", n_coils=8, jitter=0.1
    ),
    noise_reference="rms",
    pattern="uniform",
    center_lines=12,
    mask_per="slice",
    seed=9,
)


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the functions behind the commands are called with; they do nothing."""
    arguments: list[object] = []

    def listen(*given: object) -> BatchResult:
        arguments.extend(given)
        return BatchResult(["a"])

    monkeypatch.setattr(simulate, "simulate", listen)
    monkeypatch.setattr(segment, "segment", listen)
    monkeypatch.setattr("kseg.pipelines.demo.run_demo", lambda *given: arguments.extend(given) or 3)
    return arguments


def test_every_option_of_a_simulation_arrives(run: Run, received: list[object]) -> None:
    ended = run("simulate", "in", "out", "--noise", "0.2", "--fraction", "0.5", *SCAN.split())
    assert ended.out == "simulated: 1, failed: 0\n"
    assert received == [Path("in"), Path("out"), replace(SCANNED, noise=0.2, fraction=0.5)]
    received.clear()
    assert run("simulate", "in", "out").code == 0
    assert received == [Path("in"), Path("out"), simulate.SimulationSettings()]


def test_every_option_of_a_segmentation_arrives(run: Run, received: list[object]) -> None:
    options = (
        "--bundle b --probabilities --reconstruction --recurrences --uncertainty --flip --precision float32"
    )
    options += " --fraction 0.5 --center-lines 12 --seed 9"
    options += " --workers 3 --timeout 60 --shard 2/5 --no-resume --retry-failed --relist --trust --dicom-seg"
    options += " --engine ray --address h:1 --device cuda:1"
    assert run("segment", "in", "out", *options.split()).code == 0
    settings = SegmentSettings(
        True, True, True, True, True, "float32", fraction=0.5, center_lines=12, seed=9, dicom_seg=True
    )
    run_settings = RunSettings(
        engine="ray",
        address="h:1",
        device="cuda:1",
        trust=True,
        workers=3,
        timeout=60,
        shard=Shard(2, 5),
        resume=False,
        retry_failed=True,
        relist=True,
    )
    assert received == [Path("in"), Path("out"), "b", settings, run_settings]
    for option, flip in (((), None), (("--no-flip",), False)):
        received.clear()
        assert run("segment", "in", "out", *option).code == 0
        run_settings = RunSettings(engine="processes")
        assert received[2:] == [command.DEFAULT_BUNDLE, SegmentSettings(flip=flip), run_settings]


def test_the_seed_of_a_demo_arrives(run: Run, received: list[object]) -> None:
    assert run("demo", "--seed", "4").code == 3
    assert received[:3] == [Path("kseg-demo"), command.DEFAULT_BUNDLE, simulate.SimulationSettings(seed=4)]


def test_every_option_of_a_study_arrives(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[object] = []

    def listen(*arguments: object, trust: bool) -> study.Study:
        received.extend((*arguments, trust))
        return study.Study(BatchResult(["a"]), ())

    monkeypatch.setattr(study, "study", listen)
    grid = "--bundle b --fractions 0.3,0.1 --noise 0 --target 0.9 --trust"
    ended = run("study", "in", "out", *grid.split(), *SCAN.split())
    assert ended.out == "studied: 1, failed: 0\n"
    expected = study.StudySettings(fractions=(0.3, 0.1), noises=(0.0,), target=0.9, scan=SCANNED)
    assert received == [Path("in"), Path("out"), "b", expected, True]
    received.clear()
    assert run("study", "in", "out").code == 0
    assert received == [Path("in"), Path("out"), command.DEFAULT_BUNDLE, study.StudySettings(), False]


def test_a_study_has_every_option_of_a_simulation() -> None:
    of_simulation, of_study = (
        inspect.signature(each).parameters for each in (command.simulate, command.study)
    )
    shared = {name for name in of_study if of_study[name] == of_simulation.get(name)}
    of_scan = {field.name for field in fields(ScanOptions)}
    assert shared == {"labels", "output", *of_scan}
    assert set(of_simulation) - shared == {"noise", "fraction"}
    assert {word[2:].replace("-", "_") for word in SCAN.split() if word.startswith("--")} == of_scan


def test_choices_are_those_of_the_functions() -> None:
    assert get_args(command_options.Source) == tuple(simulate.SOURCES)
    assert get_args(command_options.Oracle) == tuple(ORACLES)
    assert get_args(command_options.SequenceName) == tuple(SEQUENCES)
    assert get_args(command_options.NoiseReference) == get_args(NoiseReference)
    assert get_args(command_options.Pattern) == tuple(simulate.PATTERNS)
    assert [MaskDraw(per).per for per in get_args(command_options.MaskPer)] == ["volume", "slice"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--ti 1",
            "sequence: expected an inversion time for inversion_recovery alone, received one for spin_echo",
        ),
        ("--te 5", "sequence times in seconds: expected 0 < te < tr (after ti), received te 5, tr 3"),
        ("--time-jitter 1", "time jitter: expected 0 or more and below 1, received 1.0"),
        ("--tissues 7T", "7T: read tissue table: expected one of 1.5T, 3T or the path of a YAML file, "),
        ("--coils 0", "coil maps: expected at least 1 coil, received 0"),
        (
            "--noise-reference gm --tissues water.yaml",
            "tissue table: expected entries for gm, received none for ",
        ),
    ],
)
def test_a_study_refuses_what_a_simulation_refuses_before_it_looks_for_heads(
    options: str, message: str, run: Run, tmp_path: Path
) -> None:
    water = "{pd: 0, t1: 1, t2: 1, t2_star: 1}"
    (tmp_path / "water.yaml").write_text(f"tissues: {{air: {water}, csf: {water}}}")
    (tmp_path / "in").mkdir()
    before = sorted(tmp_path.rglob("*"))
    simulated, studied = (run(name, "in", "out", *options.split()) for name in ("simulate", "study"))
    assert studied.err.startswith(f"kseg: {message}")
    assert studied == simulated
    assert (studied.code, studied.out) == (2, "")
    assert sorted(tmp_path.rglob("*")) == before
