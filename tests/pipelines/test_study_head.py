"""A head at the points of a study: the numbers of the single commands, and tables that know what they are of."""

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines import study_head
from kseg.pipelines.evaluate import evaluate
from kseg.pipelines.inference_options import read_inference_options
from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow, read_metrics, write_metrics
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segment_work import load_segmenter
from kseg.pipelines.segmentation import segment_volume
from kseg.pipelines.simulate import SimulationSettings, read_head, simulate
from kseg.pipelines.study_head import PointFiles, Segmenter, measure_head, measure_scan
from kseg.pipelines.study_table import StudyPoint
from kseg.transforms.dictionary_simulation import ScanProtocol
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.phantom import Phantom, make_phantom
from kseg.transforms.sequences import GradientEcho, SpinEcho

POINT = StudyPoint(0.2, 0.4)
ROWS = [MetricsRow("a", i, name, StructureMetrics(0.5, 2.0, 1.0, 3.0, 4.0)) for i, name in
        enumerate(("CSF", "GM", "WM"), 1)]  # fmt: skip


@pytest.fixture
def scan(small_grid: AcquisitionGrid) -> SimulationSettings:
    return SimulationSettings(grid=small_grid, noise=0.2, fraction=0.4, center_lines=4, seed=3)


@pytest.fixture
def head(save_head: Callable[..., Path], tmp_path: Path) -> Path:
    return save_head(tmp_path / "heads" / "a.nii.gz")


@pytest.fixture
def phantom(head: Path, small_grid: AcquisitionGrid) -> Phantom:
    return make_phantom(read_head(head, "a", "freesurfer"), "a", grid=small_grid)


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Segmenter:
    """Segments as the bundle wants it."""
    options = read_inference_options(str(tiny_bundle))
    return partial(segment_volume, load_segmenter(str(tiny_bundle)), options=options)


@pytest.fixture
def files(scan: SimulationSettings, tmp_path: Path) -> PointFiles:
    return PointFiles(tmp_path / "points", "a", {POINT: scan}, (b"head", b"weights"))


@pytest.mark.parametrize(
    "protocol",
    [
        {},
        {"noise_reference": "rms", "pattern": "equispaced", "mask_per": "slice"},
        {
            "protocol": ScanProtocol(SpinEcho(te=0.02), tissues="3T", n_coils=3, jitter=0.05),
            "pattern": "poisson",
            "center_lines": 10,
        },
    ],
    ids=["default", "slices", "coils"],
)
def test_the_numbers_are_those_of_the_single_commands(
    protocol: dict[str, Any],
    head: Path,
    phantom: Phantom,
    scan: SimulationSettings,
    tiny_bundle: Path,
    segmenter: Segmenter,
    tmp_path: Path,
) -> None:
    scan = replace(scan, **protocol)
    simulate(head, tmp_path / "scans", scan)
    segment(tmp_path / "scans" / "kspace", tmp_path / "masks", str(tiny_bundle), SegmentSettings())
    table = tmp_path / "metrics.csv"
    evaluation = evaluate(tmp_path / "masks", tmp_path / "scans" / "labels", table)
    rows = measure_scan(phantom, scan, segmenter)
    assert [row.class_name for row in rows] == ["CSF", "GM", "WM"]
    assert tuple(rows) == evaluation.rows
    # Another scan gives other numbers: what was compared is the scan that was asked for.
    assert measure_scan(phantom, replace(scan, seed=4), segmenter) != rows


def test_a_table_is_found_for_what_it_was_measured_with_alone(files: PointFiles) -> None:
    files.write(POINT, ROWS)
    assert files.read(POINT) == ROWS
    assert files.path(POINT).parent == files.folder / "noise_0.2" / "fraction_0.4"
    others = [
        replace(files, content=(b"head", b"other weights")),
        replace(files, content=(b"other head", b"weights")),
        replace(files, content=(b"headweights", b"")),
    ]
    assert [other.read(POINT) for other in others] == [None] * len(others)


def test_every_setting_of_a_scan_tells_its_table_from_others(files: PointFiles) -> None:
    scan = files.scans[POINT]
    changed: dict[str, Any] = {
        "source": "brainweb_20",
        "oracle": "centre_slice",
        "grid": AcquisitionGrid(),
        "protocol": ScanProtocol(GradientEcho()),
        "noise": 0.3,
        "noise_reference": "gm",
        "pattern": "uniform",
        "fraction": 0.5,
        "center_lines": 5,
        "mask_per": "slice",
        "seed": 4,
    }
    of_protocol: dict[str, Any] = {
        "sequence": SpinEcho(te=0.07),
        "tissues": "3T",
        "n_coils": 8,
        "bandwidth": 81e3,
        "jitter": 0.1,
    }
    assert list(changed) == [field.name for field in fields(SimulationSettings)]
    assert list(of_protocol) == [field.name for field in fields(ScanProtocol)]
    scans = [replace(scan, **{name: value}) for name, value in changed.items()]
    scans += [
        replace(scan, protocol=replace(scan.protocol, **{name: value})) for name, value in of_protocol.items()
    ]
    paths = {replace(files, scans={POINT: each}).path(POINT) for each in (scan, *scans)}
    assert len(paths) == 1 + len(changed) + len(of_protocol)


@pytest.mark.parametrize("harm", ["empty", "cut", "other", "folder"])
def test_a_damaged_table_does_not_count(
    harm: str, files: PointFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(POINT, ROWS)
    path = files.path(POINT)
    if harm == "cut":
        write_metrics(path, ROWS[:2])
    elif harm == "other":
        write_metrics(path, [replace(row, case="b") for row in ROWS])
    else:
        path.unlink()
        path.touch() if harm == "empty" else path.mkdir()
    with caplog.at_level(logging.WARNING):
        assert files.read(POINT) is None
    assert caplog.messages == [f"{path}: read metrics: expected all classes, received a damaged table"]


def test_a_point_that_fails_does_so_alone(
    phantom: Phantom,
    scan: SimulationSettings,
    segmenter: Segmenter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = {0.2: ValueError("network:\nexpected finite"), 0.3: RuntimeError("no memory"), 0.6: None}
    scans = {StudyPoint(0.1, share): replace(scan, noise=0.1, fraction=share) for share in errors}
    scans[StudyPoint(0.3, 0.2)] = replace(scan, noise=0.3, fraction=0.2)

    def measure(_: Phantom, scan: SimulationSettings, segmenter: Segmenter) -> list[MetricsRow]:
        error = errors[scan.fraction]
        if error is not None:
            raise error
        return ROWS

    monkeypatch.setattr(study_head, "measure_scan", measure)
    files = PointFiles(tmp_path / "points", "a", scans, ())
    assert measure_head(phantom, scans, segmenter, files) == {
        "network: expected finite": [StudyPoint(0.1, 0.2), StudyPoint(0.3, 0.2)],
        "RuntimeError: no memory": [StudyPoint(0.1, 0.3)],
    }
    assert [point for point in scans if files.read(point) is not None] == [StudyPoint(0.1, 0.6)]
    assert read_metrics(files.path(StudyPoint(0.1, 0.6))) == ROWS
    assert len([path for path in (tmp_path / "points").rglob("*") if path.is_file()]) == 1
