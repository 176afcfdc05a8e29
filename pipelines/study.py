"""How few lines, and how much noise, a bundle bears: its accuracy over a grid of simulated scans."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

from kseg import __version__
from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.device import choose_device
from kseg.pipelines.engines import InProcess
from kseg.pipelines.inference_options import read_inference_options
from kseg.pipelines.items import Item, list_items
from kseg.pipelines.metrics_table import MetricsRow
from kseg.pipelines.provenance import read_provenance
from kseg.pipelines.records import open_records
from kseg.pipelines.segment_work import load_segmenter
from kseg.pipelines.segmentation import convolution_dtype, segment_volume
from kseg.pipelines.simulate import SOURCES, SimulationSettings, read_head, try_out
from kseg.pipelines.study_figure import study_figure
from kseg.pipelines.study_head import PointFiles, measure_head
from kseg.pipelines.study_table import PointResult, StudyPoint, write_study
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import require_file
from kseg.transforms.phantom import make_phantom
from kseg.transforms.sampling import line_count
from kseg.transforms.tissues import load_tissue_table

_STAGE = "study"


@dataclass(frozen=True)
class StudySettings:
    """The grid of scans, and what is good enough.

    Attributes:
        fractions: shares of k-space that are measured, each in (0, 1].
        noises: noise levels, each in [0, 10].
        target: mean Dice that a scan has to reach, in [0, 1].
        scan: the rest of the protocol; its own noise and fraction are not used. A centre larger than what is
            measured is cut down to that.

    Raises:
        ValueError: no value, values that are the same to six digits, or one outside its range.
    """

    fractions: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
    noises: tuple[float, ...] = (0.05, 0.1, 0.2)
    target: float = 0.85
    scan: SimulationSettings = field(default_factory=SimulationSettings)

    def __post_init__(self) -> None:
        _require_levels("fractions", self.fractions, "(0, 1]", all(0 < each <= 1 for each in self.fractions))
        _require_levels("noise", self.noises, "[0, 10]", all(0 <= each <= 10 for each in self.noises))
        if not 0 <= self.target <= 1:
            raise ValueError(f"target: expected a Dice in [0, 1], received {self.target:g}")

    def scans(self) -> dict[StudyPoint, SimulationSettings]:
        """How heads are scanned at each point, by noise level, then by share of k-space."""
        return {
            StudyPoint(noise, fraction): replace(
                self.scan, noise=noise, fraction=fraction, center_lines=_center(self.scan, fraction)
            )
            for noise in sorted(self.noises)
            for fraction in sorted(self.fractions)
        }


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        heads: what became of each head; one that could not be measured at every point has failed.
        results: of each point, by noise level, then by share of k-space; empty where no head was measured.
    """

    heads: BatchResult
    results: tuple[PointResult, ...]


def study(labels: Path, output: Path, bundle: str, settings: StudySettings, *, trust: bool = False) -> Study:
    """Scan heads at every point of a grid, segment the scans and compare them with the oracle.

    Writes the metrics of each head at each point below `OUTPUT/points`, the table `OUTPUT/study.csv`, the
    picture `OUTPUT/study.png`, and one line per head to `OUTPUT/results.jsonl`. A study that was stopped goes
    on where it was: what is found below `OUTPUT/points` for the same head, scan, weights and configuration is
    not measured again. The scan at a point is the one that `simulate` makes with the same seed.

    Args:
        labels: label map or model, or a folder of them, see `simulate`.
        output: output folder, made if missing.
        bundle: name or folder of the bundle.
        settings: see `StudySettings`.
        trust: take a bundle that `kseg bundle check` refuses, and run whatever code it names.

    Raises:
        InputError: the labels or the output cannot be used; the table of tissues, the bundle or its weights cannot.
        ValueError: scan settings that do not fit into each other.
    """
    _try_out(settings)
    cases = find_files(labels, SOURCES[settings.scan.source], output)
    if not cases:
        return Study(BatchResult(), ())
    scans = settings.scans()
    network = load_segmenter(bundle, trust=trust).to(choose_device("auto"))
    provenance = read_provenance(bundle)
    options = read_inference_options(bundle)
    segmenter = partial(segment_volume, network, options=options)
    dtype = convolution_dtype(options, next(network.parameters()).device)
    configuration = (find_bundle(bundle) / "configs" / "inference.json").read_bytes()
    program = f"{provenance.weights_sha256} {dtype} {__version__}".encode()
    # The scan names the table; what it says may change.
    tissues = repr(load_tissue_table(settings.scan.protocol.tissues)).encode()
    measured: dict[str, dict[StudyPoint, list[MetricsRow]]] = {}

    def work(item: Item) -> dict[str, Any]:
        case, path = item.case, item.path
        require_file(path, _STAGE)
        content = (path.read_bytes(), tissues, configuration, program)
        files = PointFiles(output / "points", case, scans, content)
        known = _read(files)
        pending = {point: scan for point, scan in scans.items() if point not in known}
        failures: dict[str, list[StudyPoint]] = {}
        if pending:
            head = read_head(path, case, settings.scan.source)
            phantom = make_phantom(head, case, grid=settings.scan.grid, oracle=settings.scan.oracle)
            failures = measure_head(phantom, pending, segmenter, files)
        measured[case] = _read(files)
        if failures:
            raise ValueError("; ".join(f"{_listed(points)}: {why}" for why, points in failures.items()))
        return {"measured": len(pending), "found": len(known)}

    with open_records(output / "results.jsonl") as records:
        heads = run_batch(list_items(cases), InProcess(work, _STAGE), stage=_STAGE, records=records)
    results = _by_point(scans, {case: points for case, points in measured.items() if points})
    if results:
        write_study(output / "study.csv", results)
        with atomic_path(output / "study.png") as temporary:
            temporary.write_bytes(study_figure(results, settings.target, provenance.bundle))
    return Study(heads, results)


def _require_levels(name: str, values: tuple[float, ...], limits: str, within: bool) -> None:
    if not values or not within or len({f"{value:g}" for value in values}) < len(values):
        received = ", ".join(f"{value:g}" for value in values) or "none"
        raise ValueError(f"{name}: expected different numbers in {limits}, received {received}")


def _center(scan: SimulationSettings, fraction: float) -> int:
    """As many central lines, or as large a central square, as wanted and measured."""
    _, n_y, n_x = scan.grid.shape
    of_points = scan.pattern == "poisson"
    most = isqrt(line_count(n_y * n_x, fraction)) if of_points else line_count(n_x, fraction)
    return min(scan.center_lines, most)


def _try_out(settings: StudySettings) -> None:
    # Every level of noise is within its range; whatever else may not fit does not depend on it.
    scans = {scan.fraction: scan for scan in settings.scans().values()}
    # The centre is cut to what a point measures, but it has to fit into the whole of k-space.
    scans[1.0] = replace(settings.scan, noise=0.0, fraction=1.0)
    for scan in scans.values():
        try_out(scan)


def _read(files: PointFiles) -> dict[StudyPoint, list[MetricsRow]]:
    tables = {point: files.read(point) for point in files.scans}
    return {point: rows for point, rows in tables.items() if rows is not None}


def _listed(points: list[StudyPoint]) -> str:
    return ", ".join(map(str, points))


def _by_point(
    scans: Mapping[StudyPoint, SimulationSettings],
    measured: Mapping[str, Mapping[StudyPoint, list[MetricsRow]]],
) -> tuple[PointResult, ...]:
    results = []
    for point in scans if measured else ():
        missing = tuple(case for case in measured if point not in measured[case])
        # A mean over the heads that are left would not compare with those of the other points.
        rows = () if missing else tuple(row for points in measured.values() for row in points[point])
        results.append(PointResult(point, rows, missing))
    return tuple(results)
