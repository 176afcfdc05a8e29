"""A whole study of small heads: what it writes, how it goes on after a stop, and what a failure costs."""

import csv
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kseg.pipelines import study_head
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.evaluate import evaluate
from kseg.pipelines.metrics_table import MetricsRow, read_metrics
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import SimulationSettings, simulate
from kseg.pipelines.study import StudySettings, study
from kseg.pipelines.study_head import Segmenter, measure_scan
from kseg.pipelines.study_table import StudyPoint, cheapest
from kseg.transforms import tissues
from kseg.transforms.dictionary_simulation import ScanProtocol
from kseg.transforms.errors import InputError
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.phantom import Phantom

Measured = list[tuple[str, float, float]]


@pytest.fixture
def settings(small_grid: AcquisitionGrid) -> StudySettings:
    """Four points, the cheapest of which has fewer lines than the centre."""
    scan = SimulationSettings(grid=small_grid, center_lines=4, seed=3)
    return StudySettings(fractions=(0.1, 0.5), noises=(0.2, 0.0), target=0.1, scan=scan)


@pytest.fixture
def heads(save_head: Callable[..., Path], tmp_path: Path) -> Path:
    for name, radius in (("a", 1.0), ("site/b", 0.9)):
        save_head(tmp_path / "heads" / f"{name}.nii.gz", radius)
    return tmp_path / "heads"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """What is measured: head, noise and fraction."""
    calls: Measured = []

    def measure(phantom: Phantom, scan: SimulationSettings, segmenter: Segmenter) -> list[MetricsRow]:
        calls.append((phantom.subject, scan.noise, scan.fraction))
        return measure_scan(phantom, scan, segmenter)

    monkeypatch.setattr(study_head, "measure_scan", measure)
    return calls


def table(output: Path) -> list[dict[str, str]]:
    with (output / "study.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(output: Path) -> list[str]:
    return sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())


def test_every_head_is_measured_at_every_point(
    heads: Path, settings: StudySettings, tiny_bundle: Path, tmp_path: Path, measured: Measured
) -> None:
    result = study(heads, tmp_path / "out", str(tiny_bundle), settings)
    points = [(noise, fraction) for noise in (0.0, 0.2) for fraction in (0.1, 0.5)]
    assert measured == [(head, *point) for head in ("a", "site/b") for point in points]
    assert (result.heads.done, result.heads.exit_code) == (["a", "site/b"], 0)
    assert [(each.point.noise, each.point.fraction) for each in result.results] == points
    assert all(each.n_heads == 2 and not each.missing for each in result.results)
    rows = table(tmp_path / "out")
    assert [(float(row["noise"]), float(row["fraction"])) for row in rows[3::4]] == points
    assert [row["class_name"] for row in rows[:4]] == ["CSF", "GM", "WM", "average"]
    dice = result.results[2].spread("dice")
    assert dice is not None
    assert float(rows[11]["dice"]) == pytest.approx(dice.mean, rel=1e-5)
    assert (tmp_path / "out" / "study.png").read_bytes().startswith(b"\x89PNG")
    written = files(tmp_path / "out")
    assert [name for name in written if "/" not in name] == ["results.jsonl", "study.csv", "study.png"]
    assert len([name for name in written if name.startswith("points/noise_0.2/fraction_0.5/")]) == 2
    records = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [(each["case"], each["measured"], each["found"]) for each in records] == [
        ("a", 4, 0),
        ("site/b", 4, 0),
    ]


def test_the_network_is_used_as_the_bundle_says(
    heads: Path, settings: StudySettings, tiny_bundle: Path, tmp_path: Path
) -> None:
    mirrored = shutil.copytree(tiny_bundle, tmp_path / "mirrored")
    configuration = mirrored / "configs" / "inference.json"
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | {"flip": True}))
    seal_bundle(mirrored)
    one = replace(settings, fractions=(0.5,), noises=(0.2,))
    (result,) = study(heads / "a.nii.gz", tmp_path / "out", str(mirrored), one).results
    simulate(heads / "a.nii.gz", tmp_path / "scans", replace(settings.scan, noise=0.2, fraction=0.5))
    segment(tmp_path / "scans" / "kspace", tmp_path / "masks", str(tiny_bundle), SegmentSettings(flip=True))
    evaluate(tmp_path / "masks", tmp_path / "scans" / "labels", tmp_path / "metrics.csv")
    assert list(result.rows) == read_metrics(tmp_path / "metrics.csv")


def test_a_study_that_is_stopped_goes_on_and_ends_the_same(
    heads: Path,
    settings: StudySettings,
    tiny_bundle: Path,
    tmp_path: Path,
    measured: Measured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study(heads, tmp_path / "whole", str(tiny_bundle), settings)
    whole = list(measured)
    measured.clear()
    write = study_head.write_metrics

    def stop(path: Path, rows: list[MetricsRow]) -> None:
        if len(measured) == 6:
            raise KeyboardInterrupt
        write(path, rows)

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(study_head, "write_metrics", stop)
        with pytest.raises(KeyboardInterrupt):
            study(heads, output, str(tiny_bundle), settings)
    assert not (output / "study.csv").exists()
    assert len(files(output)) == 1 + 5
    measured.clear()
    assert study(heads, output, str(tiny_bundle), settings).heads.exit_code == 0
    assert measured == whole[5:]
    for name in ("study.csv", "study.png"):
        assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_known_is_not_measured_again(
    heads: Path,
    settings: StudySettings,
    tiny_bundle: Path,
    save_head: Callable[..., Path],
    tmp_path: Path,
    measured: Measured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def study_again(settings: StudySettings, bundle: Path = tiny_bundle) -> Measured:
        measured.clear()
        study(heads, tmp_path / "out", str(bundle), settings)
        return measured

    assert len(study_again(settings)) == 8
    # Known heads are not even read.
    with monkeypatch.context() as patch:
        patch.setattr("kseg.pipelines.study.read_head", lambda *_: pytest.fail("read"))
        assert study_again(replace(settings, target=0.9)) == []
    wider = replace(settings, fractions=(0.1, 0.3, 0.5))
    assert study_again(wider) == [(head, n, 0.3) for head in ("a", "site/b") for n in (0.0, 0.2)]
    save_head(heads / "a.nii.gz", 0.95)
    assert study_again(settings) == [("a", noise, share) for noise in (0.0, 0.2) for share in (0.1, 0.5)]
    assert len(study_again(replace(settings, scan=replace(settings.scan, seed=4)))) == 8
    other = shutil.copytree(tiny_bundle, tmp_path / "other")
    configuration = other / "configs" / "inference.json"
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | {"flip": True}))
    seal_bundle(other)
    assert len(study_again(settings, other)) == 8


def test_a_table_of_tissues_that_changes_has_everything_measured_anew(
    heads: Path, settings: StudySettings, tiny_bundle: Path, tmp_path: Path, measured: Measured
) -> None:
    table = tmp_path / "tissues.yaml"
    shipped = (Path(tissues.__file__).parent / "tables" / "tissues_3T.yaml").read_text()
    table.write_text(shipped)
    protocol = ScanProtocol(tissues=str(table), n_coils=2)
    scan = replace(settings.scan, protocol=protocol, center_lines=8)
    one = replace(settings, fractions=(0.5,), noises=(0.2,), scan=scan)
    for text, n_measured in ((shipped, 2), (shipped, 2), (shipped.replace("t1: 1.82", "t1: 1.9"), 4)):
        table.write_text(text)
        assert study(heads, tmp_path / "out", str(tiny_bundle), one).heads.exit_code == 0
        assert len(measured) == n_measured


def test_a_head_that_cannot_be_read_costs_itself_alone(
    heads: Path,
    settings: StudySettings,
    tiny_bundle: Path,
    tmp_path: Path,
    measured: Measured,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (heads / "bad.nii.gz").write_bytes(b"no label map")
    (heads / "gone.nii.gz").symlink_to(heads / "nowhere.nii.gz")
    with caplog.at_level(logging.ERROR):
        result = study(heads, tmp_path / "out", str(tiny_bundle), settings)
    assert result.heads.exit_code == 1
    assert list(result.heads.failed) == ["bad", "gone"]
    assert [message.partition(": expected")[0] for message in caplog.messages] == [
        f"{heads / 'bad.nii.gz'}: read NIfTI",
        f"{heads / 'gone.nii.gz'}: study",
    ]
    assert len(measured) == 8
    assert all(each.n_heads == 2 and not each.missing for each in result.results)


def test_a_point_that_fails_is_named_and_never_averaged_over(
    heads: Path,
    settings: StudySettings,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def measure(phantom: Phantom, scan: SimulationSettings, segmenter: Segmenter) -> list[MetricsRow]:
        if (phantom.subject, scan.fraction) == ("site/b", 0.1):
            raise ValueError("network: expected finite probabilities, received NaN")
        return measure_scan(phantom, scan, segmenter)

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(study_head, "measure_scan", measure)
        result = study(heads, tmp_path / "out", str(tiny_bundle), settings)
    assert (result.heads.done, result.heads.exit_code) == (["a"], 1)
    assert caplog.messages == [
        f"{heads / 'site' / 'b.nii.gz'}: study: 0% noise, 10% of k-space, 20% noise, 10% of k-space: "
        "network: expected finite probabilities, received NaN"
    ]
    missing = {each.point: each.missing for each in result.results}
    assert missing == {
        StudyPoint(noise, share): ("site/b",) if share == 0.1 else ()
        for noise in (0.0, 0.2)
        for share in (0.1, 0.5)
    }
    assert all(
        found is not None and found.point.fraction == 0.5 for found in cheapest(result.results, 0).values()
    )
    lacking = [row for row in table(tmp_path / "out") if row["missing"]]
    assert [(row["noise"], row["fraction"], row["dice"], row["missing"]) for row in lacking] == [
        ("0", "0.1", "", "site/b"),
        ("0.2", "0.1", "", "site/b"),
    ]
    # The next run measures what is missing, and nothing else.
    assert study(heads, tmp_path / "out", str(tiny_bundle), settings).heads.exit_code == 0
    records = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["measured"] for line in records[-2:]] == [0, 2]


def test_without_a_result_no_table_is_written(
    settings: StudySettings, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "heads").mkdir()
    assert study(tmp_path / "heads", tmp_path / "out", str(tiny_bundle), settings).heads.exit_code == 3
    assert not (tmp_path / "out").exists()
    (tmp_path / "heads" / "bad.nii.gz").write_bytes(b"no label map")
    result = study(tmp_path / "heads", tmp_path / "out", str(tiny_bundle), settings)
    assert (result.heads.exit_code, result.results) == (1, ())
    assert files(tmp_path / "out") == ["results.jsonl"]


def test_settings_that_cannot_work_stop_the_study_before_the_first_head(
    heads: Path, settings: StudySettings, tiny_bundle: Path, tmp_path: Path
) -> None:
    wrong = replace(settings, scan=replace(settings.scan, center_lines=-1))
    with pytest.raises(ValueError, match=r"^line mask: expected 0 <= center <= sampled"):
        study(heads, tmp_path / "out", str(tiny_bundle), wrong)
    with pytest.raises(InputError, match=r"^nowhere: read bundle: expected one of "):
        study(heads, tmp_path / "out", "nowhere", settings)
    # A centre is cut to what a point measures, but no scan holds one that is larger than k-space.
    for pattern, message in (
        ("gaussian", r"^line mask: .* <= 32 lines .* received center 33 and sampled 32$"),
        (
            "poisson",
            r"^Poisson disc: expected a center within \(40, 32\) .* received center 33 and 1280 points$",
        ),
    ):
        wrong = replace(settings, scan=replace(settings.scan, pattern=pattern, center_lines=33))
        with pytest.raises(ValueError, match=message):
            study(heads, tmp_path / "out", str(tiny_bundle), wrong)
    assert not (tmp_path / "out").exists()


def test_a_point_is_the_scan_of_simulate_with_as_many_central_lines_as_fit() -> None:
    settings = StudySettings(scan=SimulationSettings(center_lines=16, seed=7))
    scans = settings.scans()
    assert len(scans) == len(settings.noises) * len(settings.fractions)
    assert scans[StudyPoint(0.2, 0.3)] == SimulationSettings(noise=0.2, fraction=0.3, center_lines=16, seed=7)
    # 5 % of 180 lines are 9; 5 % of 216 x 180 points are 1944, which hold a square of 44 x 44.
    assert scans[StudyPoint(0.2, 0.05)].center_lines == 9
    for wanted, taken in ((16, 16), (50, 44)):
        points = StudySettings(scan=SimulationSettings(pattern="poisson", center_lines=wanted)).scans()
        assert points[StudyPoint(0.2, 0.05)].center_lines == taken
        assert points[StudyPoint(0.2, 1.0)].center_lines == wanted


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fractions": ()}, r"^fractions: expected different numbers in \(0, 1\], received none$"),
        ({"fractions": (0.0, 0.5)}, r"^fractions: expected different numbers in \(0, 1\], received 0, 0\.5$"),
        ({"fractions": (0.5, 1.5)}, r"^fractions: expected .* received 0\.5, 1\.5$"),
        ({"fractions": (float("nan"),)}, r"^fractions: expected .* received nan$"),
        ({"fractions": (0.5, 0.50000001)}, r"^fractions: expected different numbers .* received 0\.5, 0\.5$"),
        ({"noises": ()}, r"^noise: expected different numbers in \[0, 10\], received none$"),
        ({"noises": (-0.1,)}, r"^noise: expected .* received -0\.1$"),
        ({"noises": (float("inf"),)}, r"^noise: expected .* received inf$"),
        ({"target": 85.0}, r"^target: expected a Dice in \[0, 1\], received 85$"),
        ({"target": float("nan")}, r"^target: expected a Dice in \[0, 1\], received nan$"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudySettings(**wrong)  # type: ignore[arg-type]
