"""The metrics of many cases taken together: each class over all of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.pipelines.metrics_table import MetricsRow


@dataclass(frozen=True)
class LesionSummary:
    """The lesions of one class over all cases.

    Args:
        true_positive_rate: mean over the cases that have a lesion in the reference; None where there is none.
        pooled_true_positive_rate: of the lesions of all cases together, so that cases with many count more.
        false_positives_per_case: mean over all cases, those without a lesion included.
        n_cases: cases whose lesions were counted.
        n_without: those without a lesion in the reference: in the false positives, not in the rate.
        n_reference: lesions of all references.
        n_detected: those of them that were detected.
        n_false_positives: lesions of the predictions that overlap nothing of the reference.
    """

    true_positive_rate: float | None
    pooled_true_positive_rate: float | None
    false_positives_per_case: float
    n_cases: int
    n_without: int
    n_reference: int
    n_detected: int
    n_false_positives: int


@dataclass(frozen=True)
class ClassSummary:
    """One class over all cases.

    Args:
        class_id: label value.
        class_name: what the label value means.
        sample_dice: mean of the Dice of the scored cases, each case counting the same.
        voxel_dice: Dice of all cases pooled into one, so that large structures count more.
        sample_iou: mean of the intersection over union of the scored cases.
        voxel_iou: intersection over union of all cases pooled into one.
        hausdorff_mm: mean over the cases that have both structures.
        hausdorff95_mm: mean over the cases that have both structures.
        n_scored: cases with the structure in the reference or in the prediction: those in the mean Dice.
        n_measured: cases with the structure in both: those in the mean distances.
        n_missed: cases with the structure in the reference only; their Dice is 0.
        n_spurious: cases with the structure in the prediction only; their Dice is 0.
        n_absent: cases with the structure in neither, in none of the means.
        lesions: of a class whose components were counted.
    """

    class_id: int
    class_name: str
    sample_dice: float | None
    voxel_dice: float | None
    sample_iou: float | None
    voxel_iou: float | None
    hausdorff_mm: float | None
    hausdorff95_mm: float | None
    n_scored: int
    n_measured: int
    n_missed: int
    n_spurious: int
    n_absent: int
    lesions: LesionSummary | None = None


def summarise(rows: Iterable[MetricsRow]) -> list[ClassSummary]:
    """Summarise each class over its cases, in the order of class_id.

    Args:
        rows: one per case and class.

    Example:
        >>> half = StructureMetrics(0.5, 2.0, 2.0, predicted_ml=1.0, reference_ml=1.0)
        >>> missed = StructureMetrics(0.0, float("inf"), float("inf"), predicted_ml=0.0, reference_ml=2.0)
        >>> csf = summarise([MetricsRow("a", 1, "CSF", half), MetricsRow("b", 1, "CSF", missed)])[0]
        >>> csf.sample_dice, csf.voxel_dice, csf.hausdorff_mm, csf.n_measured, csf.n_missed
        (0.25, 0.25, 2.0, 1, 1)
    """
    classes: dict[tuple[int, str], list[MetricsRow]] = {}
    for row in rows:
        classes.setdefault((row.class_id, row.class_name), []).append(row)
    return [_summarise_class(*key, classes[key]) for key in sorted(classes)]


def average(classes: Sequence[ClassSummary]) -> dict[str, float | None]:
    """Average Dice, IoU and distances over the classes, each class counting the same.

    Args:
        classes: as `summarise` returns them; one without a value is left out.
    """
    names = ("sample_dice", "voxel_dice", "sample_iou", "voxel_iou", "hausdorff_mm", "hausdorff95_mm")
    return {name: mean(getattr(item, name) for item in classes) for name in names}


def mean(values: Iterable[float | None]) -> float | None:
    """Average the finite values, or return None where there is none.

    Example:
        >>> mean([1.0, None, 2.0, float("inf")])
        1.5
    """
    finite = [value for value in values if value is not None and isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def _summarise_class(class_id: int, class_name: str, rows: Sequence[MetricsRow]) -> ClassSummary:
    metrics = [row.metrics for row in rows]

    def count(condition: Callable[[StructureMetrics], bool]) -> int:
        return sum(map(condition, metrics))

    n_absent = count(lambda item: item.absent)
    n_missed, n_spurious = count(lambda item: item.missed), count(lambda item: item.spurious)
    # Dice (|P| + |R|) / 2 is the overlap, so the table alone gives the pooled Dice.
    volume_ml = sum(item.predicted_ml + item.reference_ml for item in metrics)
    overlap_ml = sum((item.dice or 0.0) * (item.predicted_ml + item.reference_ml) / 2 for item in metrics)
    return ClassSummary(
        class_id=class_id,
        class_name=class_name,
        sample_dice=mean(item.dice for item in metrics),
        voxel_dice=2 * overlap_ml / volume_ml if volume_ml else None,
        sample_iou=mean(item.iou for item in metrics),
        voxel_iou=overlap_ml / (volume_ml - overlap_ml) if volume_ml else None,
        hausdorff_mm=mean(item.hausdorff_mm for item in metrics),
        hausdorff95_mm=mean(item.hausdorff95_mm for item in metrics),
        n_scored=len(metrics) - n_absent,
        n_measured=len(metrics) - n_absent - n_missed - n_spurious,
        n_missed=n_missed,
        n_spurious=n_spurious,
        n_absent=n_absent,
        lesions=_summarise_lesions([row.lesions for row in rows if row.lesions is not None]),
    )


def _summarise_lesions(counts: Sequence[LesionCounts]) -> LesionSummary | None:
    if not counts:
        return None
    n_reference, n_detected = sum(item.reference for item in counts), sum(item.detected for item in counts)
    n_false = sum(item.false_positives for item in counts)
    return LesionSummary(
        true_positive_rate=mean(item.true_positive_rate for item in counts),
        pooled_true_positive_rate=n_detected / n_reference if n_reference else None,
        false_positives_per_case=n_false / len(counts),
        n_cases=len(counts),
        n_without=sum(item.reference == 0 for item in counts),
        n_reference=n_reference,
        n_detected=n_detected,
        n_false_positives=n_false,
    )
