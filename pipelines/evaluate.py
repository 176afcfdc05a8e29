"""Compare a folder of segmentations with a folder of references."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kseg.pipelines.calibration import Calibration, measure_calibration
from kseg.pipelines.cases import one_file
from kseg.pipelines.find_segmentations import companion, find_segmentations, match_references
from kseg.pipelines.metrics import structure_metrics, voxel_spacing_mm
from kseg.pipelines.metrics_lesions import LesionRule, count_lesions
from kseg.pipelines.metrics_summary import ClassSummary, average, summarise
from kseg.pipelines.metrics_table import MetricsRow, write_metrics
from kseg.pipelines.probability_file import read_probabilities
from kseg.pipelines.provenance import read_provenance
from kseg.pipelines.records import read_records
from kseg.pipelines.result_files import records_files
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import NiftiVolume, read_label_map, require_same_grid

logger = logging.getLogger(__name__)

BRAIN_CLASSES: Mapping[int, str] = {1: "CSF", 2: "GM", 3: "WM"}
"""Classes of the brain task, see docs/conventions.md; those of any bundle are `bundle_classes(name)`."""

NO_LESIONS = LesionRule()
_STAGE = "evaluate"


@dataclass(frozen=True)
class Failure:
    """A case that was not evaluated.

    Args:
        case: relative folder and NAME.
        reason: one line: file, stage, expected, received.
    """

    case: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        n_pairs: cases with a prediction and a reference.
        rows: metrics of the cases that could be evaluated, one per case and class.
        failures: pairs that could not be evaluated, and references without a prediction.
        predictions_without_reference: cases left out because there is nothing to compare them with.
        ignored_labels: label values seen that are neither background nor one of the classes.
        calibrations: of the cases that have probabilities beside their segmentation.
    """

    n_pairs: int
    rows: tuple[MetricsRow, ...]
    failures: tuple[Failure, ...]
    predictions_without_reference: tuple[str, ...]
    ignored_labels: tuple[int, ...]
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    @property
    def calibration(self) -> Calibration | None:
        """All voxels of the cases with probabilities; None where there is no such case."""
        return sum(self.calibrations.values(), Calibration()) if self.calibrations else None

    @property
    def classes(self) -> list[ClassSummary]:
        """Each class over all evaluated cases."""
        return summarise(self.rows)

    @property
    def exit_code(self) -> int:
        """0: all done; 1: some cases failed; 3: no pair, so nothing was written."""
        if self.n_pairs == 0:
            return 3
        return 1 if self.failures else 0


def evaluate(
    predictions: Path,
    references: Path,
    output: Path,
    *,
    classes: Mapping[int, str] = BRAIN_CLASSES,
    lesions: LesionRule = NO_LESIONS,
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> Evaluation:
    """Compare every prediction with its reference and write the metrics.

    Predictions and references are found by `find_segmentations`; those of the same relative folder and NAME
    belong together, see `match_references`. A pair that cannot be compared fails alone; the others are evaluated.
    Written, each atomically: output, one row per case and class, and `summary_path(output)`. Nothing is written
    where there is no pair. Where probabilities lie beside a prediction, the summary tells the calibration as well.

    Args:
        predictions: folder of segmentations.
        references: folder of reference label maps.
        output: the CSV file; its folder is made if need be.
        classes: label values and their names; label 0 is background.
        lesions: which of them are lesions, to be counted.
        progress: wraps the list of cases, for example `tqdm`.

    Raises:
        InputError: one of the folders does not exist.
        ValueError: classes are empty, hold a label below 1 or one name twice; lesions are none of them.
    """
    _require_classes(classes)
    lesions.require_known(classes.values())
    predicted, referenced = find_segmentations(predictions), find_segmentations(references)
    matched = match_references(predicted, referenced)
    used = {path for paths in matched.values() for path in paths}
    lost = [case for case, paths in referenced.items() if used.isdisjoint(paths)]
    rows: list[MetricsRow] = []
    failures: list[Failure] = []
    ignored: set[int] = set()
    calibrations: dict[str, Calibration] = {}
    for case in progress(sorted([*matched, *lost])):
        try:
            predicted_path = one_file(predicted, case, predictions, _STAGE)
            pair = _read_pair(predicted_path, one_file(matched, case, references, _STAGE))
            case_rows = _compare(case, *pair, classes, lesions)
            probabilities_path = companion(predictions, case, "prob")
            if probabilities_path is not None:
                calibrations[case] = _calibration(probabilities_path, pair[1])
        except (ValueError, OSError) as error:
            failures.append(Failure(case, " ".join(str(error).split())))
        else:
            rows.extend(case_rows)
            ignored |= _labels(*pair) - classes.keys() - {0}
    unmatched = tuple(case for case in predicted if case not in matched)
    labels = tuple(sorted(ignored))
    evaluation = Evaluation(len(matched), tuple(rows), tuple(failures), unmatched, labels, calibrations)
    _log(evaluation)
    if evaluation.n_pairs:
        output.parent.mkdir(parents=True, exist_ok=True)
        _write_summary(summary_path(output), evaluation, lesions)
        write_metrics(output, rows)
    return evaluation


def bundle_classes(bundle: str) -> dict[int, str]:
    """Label values and names of the classes that a bundle segments, without the background.

    Args:
        bundle: name or folder of the bundle.

    Raises:
        InputError: no such bundle, or metadata that do not name the classes.

    Example:
        >>> bundle_classes("brain_kspace_segmentation") == BRAIN_CLASSES
        True
    """
    return {label: name for label, name in enumerate(read_provenance(bundle).labels) if label}


def recorded_classes(predictions: Path) -> dict[int, str] | None:
    """Classes of the bundle that made the segmentations of a folder, as the records of `kseg segment` have them.

    Args:
        predictions: the folder.

    Returns:
        As `bundle_classes`, or None where no record says it.

    Raises:
        InputError: segmentations of bundles with different classes, or records that cannot be read.
    """
    records = read_records(records_files(predictions)).values()
    told = {
        tuple(map(str, record["labels"]))
        for record in records
        if record.get("status") != "failed" and isinstance(record.get("labels"), list)
    }
    if len(told) > 1:
        received = " and ".join(sorted(", ".join(labels) for labels in told))
        raise InputError(predictions, _STAGE, "segmentations of one kind of bundle, or --bundle", received)
    return {label: name for labels in told for label, name in enumerate(labels) if label} or None


def compare_labels(
    case: str,
    predicted: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing_mm: tuple[float, ...],
    classes: Mapping[int, str] = BRAIN_CLASSES,
    lesions: LesionRule = NO_LESIONS,
) -> list[MetricsRow]:
    """Compare a segmentation with its reference, one row for each class.

    Args:
        case: relative folder and NAME.
        predicted: label values, `(x, y, slice)`.
        reference: label values on the same grid.
        spacing_mm: distance between voxel centres along each axis.
        classes: label values and their names.
        lesions: which of them are lesions, to be counted.
    """
    rows = []
    for class_id, class_name in sorted(classes.items()):
        masks = predicted == class_id, reference == class_id
        counted = class_name in lesions.classes
        counts = count_lesions(*masks, spacing_mm, lesions.smallest_mm3) if counted else None
        rows.append(MetricsRow(case, class_id, class_name, structure_metrics(*masks, spacing_mm), counts))
    return rows


def summary_path(metrics: Path) -> Path:
    """Name the summary that lies beside a table of metrics.

    Example:
        >>> summary_path(Path("out/metrics.csv")).as_posix()
        'out/metrics_summary.json'
    """
    return metrics.with_name(f"{metrics.stem}_summary.json")


def _require_classes(classes: Mapping[int, str]) -> None:
    if not classes or min(classes) < 1 or len(set(classes.values())) < len(classes):
        raise ValueError(f"classes: expected labels from 1 with different names, received {dict(classes)}")


def _read_pair(predicted: Path, reference: Path) -> tuple[NiftiVolume, NiftiVolume]:
    volumes = read_label_map(predicted), read_label_map(reference)
    require_same_grid(predicted, *volumes, _STAGE)
    return volumes


def _compare(
    case: str,
    predicted: NiftiVolume,
    reference: NiftiVolume,
    classes: Mapping[int, str],
    lesions: LesionRule,
) -> list[MetricsRow]:
    spacing_mm = voxel_spacing_mm(reference.affine)
    return compare_labels(case, predicted.array, reference.array, spacing_mm, classes, lesions)


def _calibration(path: Path, reference: NiftiVolume) -> Calibration:
    probabilities = read_probabilities(path, reference)
    known = reference.array < probabilities.shape[-1]
    return measure_calibration(probabilities[known], reference.array[known])


def _labels(*volumes: NiftiVolume) -> set[int]:
    counts = [np.bincount(volume.array.ravel()) for volume in volumes]
    return {int(label) for count in counts for label in np.flatnonzero(count)}


def _write_summary(path: Path, evaluation: Evaluation, lesions: LesionRule) -> None:
    classes = evaluation.classes
    content = {
        "n_cases": len({row.case for row in evaluation.rows}),
        "classes": [asdict(item) for item in classes],
        "average": average(classes),
        "smallest_lesion_mm3": lesions.smallest_mm3 if lesions.classes else None,
        "calibration": _calibration_summary(evaluation),
        "failures": [asdict(failure) for failure in evaluation.failures],
        "predictions_without_reference": evaluation.predictions_without_reference,
        "ignored_labels": evaluation.ignored_labels,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _calibration_summary(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.calibration is None:
        return None
    cases = {case: each.errors for case, each in evaluation.calibrations.items()}
    return {**evaluation.calibration.errors, "bins": evaluation.calibration.bins, "cases": cases}


def _log(evaluation: Evaluation) -> None:
    for failure in evaluation.failures:
        logger.error("%s: %s", failure.case, failure.reason)
    for case in evaluation.predictions_without_reference:
        logger.warning("%s: prediction without a reference, left out", case)
    if evaluation.ignored_labels:
        logger.warning(
            "labels that are no class, left out: %s", ", ".join(map(str, evaluation.ignored_labels))
        )
