"""From the weights of a cell to its metrics, and back from the files that hold them."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from kseg import __version__
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.evaluate import NO_LESIONS, bundle_classes, evaluate
from kseg.pipelines.metrics_lesions import LesionRule
from kseg.pipelines.metrics_summary import ClassSummary, summarise
from kseg.pipelines.metrics_table import MetricsRow, read_metrics
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.errors import InputError
from paper.budget import Heads
from paper.grid import Cell
from paper.plan import Training, configuration_files, seen_key
from paper.provenance import commit, hardware
from paper.records import read_record, short_digest, write_record
from paper.training import finished, weights_of

NOT_RUN = "not run"
"""Why there are no metrics of a cell that nobody has run."""

RESULT = ("metrics.csv", "result.json")
"""What a cell leaves that its numbers are read from."""

_STAGE = "evaluate cell"
_KEYS = ("trainings", "cases", "calibration", "seconds", "commits", "hardware")


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        cell: the cell.
        classes: metrics of each class over the test heads; empty where the cell is missing.
        missing: why there are no metrics, or empty.
        rows: metrics of each class in each case.
        record: what is known of the run.
    """

    cell: Cell
    classes: Sequence[ClassSummary] = ()
    missing: str = ""
    rows: Sequence[MetricsRow] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inference:
    """How the network of a cell is used, and what it is compared with.

    Attributes:
        scans: what is segmented.
        references: label maps of the cases.
        settings: what `kseg segment` is asked for.
        options: top-level keys of the bundle's inference; those of a method are told, those of the shipped weights
            are left out.
        lesions: classes whose lesions are counted.
    """

    scans: Path
    references: Path
    settings: SegmentSettings
    options: Mapping[str, Any]
    lesions: LesionRule = NO_LESIONS


def evaluate_cell(
    cell: Cell, trainings: Sequence[Training], inference: Inference, folder: Path, runs: Path
) -> None:
    """Segment the scans of the test heads with the network of a cell, and compare with their references.

    Writes `metrics.csv`, the segmentations, a bundle with the weights, and last the record `result.json`. The
    probabilities are compared as well, and not kept: their files are many times as large as all the others.

    Args:
        cell: the cell.
        trainings: its trainings, all of them finished.
        inference: how its network is used.
        folder: where its results lie, see `cell_folder`.
        runs: folder of all runs.

    Raises:
        InputError: a head that could not be segmented or compared, or weights that cannot be used.
    """
    began = time.monotonic()
    records = [finished(training, runs) or {} for training in trainings]
    bundle = write_bundle(trainings[-1], inference.options, folder / "bundle", runs)
    shutil.rmtree(folder / "segmented", ignore_errors=True)
    segmented = segment(inference.scans, folder / "segmented", str(bundle), inference.settings)
    metrics = folder / "metrics.csv"
    evaluation = evaluate(
        folder / "segmented",
        inference.references,
        metrics,
        classes=bundle_classes(str(bundle)),
        lesions=inference.lesions,
    )
    reasons = {**{failure.case: failure.reason for failure in evaluation.failures}, **segmented.failed}
    if reasons:
        raise InputError(folder, _STAGE, "metrics of all test heads", "; ".join(reasons.values()))
    for path in (folder / "segmented").rglob("*_prob.nii.gz"):
        path.unlink()
    seen = seen_key(trainings[-1].unit)
    content = {
        "cell": asdict(cell),
        "trainings": [training.name for training in trainings],
        "cases": sorted({row.case for row in evaluation.rows}),
        "calibration": evaluation.calibration.errors if evaluation.calibration else {},
        "seconds": {
            "training": round(sum(record["seconds"] for record in records), 1),
            "evaluation": round(time.monotonic() - began, 1),
        },
        seen: sum(record[seen] for record in records),
        "commits": sorted({commit(), *chain(*(record["commits"] for record in records))}),
        "hardware": sorted({hardware(), *chain(*(record["hardware"] for record in records))}),
    }
    write_record(folder / "result.json", content, {"metrics": metrics})


def read_outcome(cell: Cell, unit: str, folder: Path) -> Outcome:
    """Read the result of a cell.

    Args:
        cell: the cell.
        unit: what its steps were taken on, see `Training`.
        folder: where its results lie, see `cell_folder`.

    Raises:
        InputError: a damaged result.
    """
    keys = (*_KEYS, seen_key(unit))
    record = read_record(folder / "result.json", {"metrics": folder / "metrics.csv"}, keys)
    if record is None:
        return Outcome(cell, missing=NOT_RUN)
    rows = read_metrics(folder / "metrics.csv")
    cases = record["cases"]
    if sorted({row.case for row in rows}) != cases:
        received = ", ".join(sorted({row.case for row in rows}))
        raise InputError(folder / "metrics.csv", _STAGE, f"metrics of {', '.join(cases)}", received)
    return Outcome(cell, summarise(rows), rows=rows, record=record)


def cell_folder(
    cell: Cell, trainings: Sequence[Training], heads: Heads, conditions: Mapping[str, Any], runs: Path
) -> Path:
    """Where the results of a cell lie: what was trained or evaluated otherwise has another folder.

    Args:
        cell: the cell.
        trainings: its trainings.
        heads: label maps.
        conditions: what else decides the evaluation.
        runs: folder of all runs.
    """
    names = [training.name for training in trainings]
    decisive = [names, heads.contents(heads.test), dict(conditions), __version__]
    return runs / "cells" / f"{cell.name}-{short_digest(decisive)}"


def write_bundle(training: Training, options: Mapping[str, Any], folder: Path, runs: Path) -> Path:
    """Make a bundle that `kseg segment` takes: the shipped one with the network and the weights of a training.

    Args:
        training: it is finished.
        options: see `Inference`.
        folder: of the bundle, made if missing.
        runs: folder of all runs.
    """
    shipped = find_bundle(training.bundle) / "configs"
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    files = configuration_files(training.bundle, training.configs)
    parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in files]))
    parser.update(training.arguments)
    inference = json.loads((shipped / "inference.json").read_text(encoding="utf-8"))
    definition = inference["network_def"] | parser.get_parsed_content("network_overrides")
    left_out = parser.get("network_without", [])
    inference["network_def"] = {key: value for key, value in definition.items() if key not in left_out}
    # What the shipped weights are used with is no part of a method.
    inference |= {"flip": False, "temperature": 1.0, "precision": "float32", **options}
    (folder / "configs/inference.json").write_text(json.dumps(inference, indent=4) + "\n", encoding="utf-8")
    shutil.copyfile(shipped / "metadata.json", folder / "configs/metadata.json")
    shutil.copyfile(weights_of(training, runs), folder / "models/model.pt")
    seal_bundle(folder)
    return folder
