"""Every option of the command arrives where it is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines import command, segment, simulate, study
from kseg.pipelines.batch import BatchResult
from kseg.pipelines.manifest import Shard
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.dictionary_simulation import ScanProtocol
from kseg.transforms.sequences import InversionRecovery

Run = Callable[..., Any]


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
    scan = (
        "--source brainweb_20 --oracle centre_slice --sequence inversion_recovery --te 0.02 --tr 6 --ti 0.5"
    )
    scan += " --flip 80 --time-jitter 0.1 --tissues 3T --coils 8 --noise 0.2 --noise-reference rms --seed 9"
    scan += " --pattern uniform --fraction 0.5 --center-lines 12 --mask-per slice"
    assert run("simulate", "in", "out", *scan.split()).out == "simulated: 1, failed: 0\n"
    sequence = InversionRecovery(te=0.02, tr=6.0, ti=0.5, flip_deg=80.0)
    expected = simulate.SimulationSettings(
        source="brainweb_20",
        oracle="centre_slice",
        protocol=ScanProtocol(sequence, tissues="3T", n_coils=8, jitter=0.1),
        noise=0.2,
        noise_reference="rms",
        pattern="uniform",
        fraction=0.5,
        center_lines=12,
        mask_per="slice",
        seed=9,
    )
    assert received == [Path("in"), Path("out"), expected]


def test_every_option_of_a_segmentation_arrives(run: Run, received: list[object]) -> None:
    options = (
        "--bundle b --probabilities --reconstruction --recurrences --uncertainty --flip --precision float32"
    )
    options += " --fraction 0.5 --center-lines 12 --seed 9"
    options += " --workers 3 --timeout 60 --shard 2/5 --no-resume --retry-failed --relist --trust --dicom-seg"
    options += " --engine ray --address h:1"
    assert run("segment", "in", "out", *options.split()).code == 0
    settings = SegmentSettings(
        True, True, True, True, True, "float32", fraction=0.5, center_lines=12, seed=9, dicom_seg=True
    )
    run_settings = RunSettings(
        engine="ray",
        address="h:1",
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
    scan = "--source brainweb_20 --center-lines 12 --seed 9"
    ended = run("study", "in", "out", *grid.split(), *scan.split())
    assert ended.out == "studied: 1, failed: 0\n"
    protocol = simulate.SimulationSettings(source="brainweb_20", center_lines=12, seed=9)
    expected = study.StudySettings(fractions=(0.3, 0.1), noises=(0.0,), target=0.9, scan=protocol)
    assert received == [Path("in"), Path("out"), "b", expected, True]
    received.clear()
    assert run("study", "in", "out").code == 0
    assert received == [Path("in"), Path("out"), command.DEFAULT_BUNDLE, study.StudySettings(), False]
