"""The metrics of many cases: the table on disk, and what is said about all of its cases together."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from pathlib import Path

from kseg.pipelines.metrics import StructureMetrics
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

_NUMBERS = ("dice", "hausdorff_mm", "hausdorff95_mm", "predicted_ml", "reference_ml")
_COLUMNS = ("case", "class_id", "class_name", *_NUMBERS)
_STAGE = "read metrics"


@dataclass(frozen=True)
class MetricsRow:
    """The metrics of one class in one case.

    Args:
        case: relative folder and NAME.
        class_id: label value.
        class_name: what the label value means.
        metrics: agreement of prediction and reference.
    """

    case: str
    class_id: int
    class_name: str
    metrics: StructureMetrics


@dataclass(frozen=True)
class ClassSummary:
    """One class over all cases.

    Args:
        class_id: label value.
        class_name: what the label value means.
        sample_dice: mean of the Dice of the scored cases, each case counting the same.
        voxel_dice: Dice of all cases pooled into one, so that large structures count more.
        hausdorff_mm: mean over the cases that have both structures.
        hausdorff95_mm: mean over the cases that have both structures.
        n_scored: cases with the structure in the reference or in the prediction: those in the mean Dice.
        n_measured: cases with the structure in both: those in the mean distances.
        n_missed: cases with the structure in the reference only; their Dice is 0.
        n_spurious: cases with the structure in the prediction only; their Dice is 0.
        n_absent: cases with the structure in neither, in none of the means.
    """

    class_id: int
    class_name: str
    sample_dice: float | None
    voxel_dice: float | None
    hausdorff_mm: float | None
    hausdorff95_mm: float | None
    n_scored: int
    n_measured: int
    n_missed: int
    n_spurious: int
    n_absent: int


def write_metrics(path: Path, rows: Iterable[MetricsRow]) -> None:
    """Write the table as CSV, atomically.

    Six significant digits; `inf` for infinite; an empty cell for what does not apply.

    Args:
        path: the file, replaced if it exists.
        rows: one per case and class.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in rows:
            numbers = [getattr(row.metrics, name) for name in _NUMBERS]
            cells = ["" if number is None else f"{number:.6g}" for number in numbers]
            writer.writerow([row.case, row.class_id, row.class_name, *cells])


def read_metrics(path: Path) -> list[MetricsRow]:
    """Read the table that `write_metrics` wrote.

    Args:
        path: the CSV file.

    Raises:
        InputError: no such file, other columns, or a cell that is not a number.
    """
    if not path.is_file():
        raise InputError(path, _STAGE, "a CSV file", "a folder" if path.exists() else "nothing")
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            received = ",".join(reader.fieldnames or ()) or "an empty file"
            raise InputError(path, _STAGE, f"the columns {','.join(_COLUMNS)}", received)
        return [_parse_row(path, reader.line_num, cells) for cells in reader]


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
    classes: dict[tuple[int, str], list[StructureMetrics]] = {}
    for row in rows:
        classes.setdefault((row.class_id, row.class_name), []).append(row.metrics)
    return [_summarise_class(*key, classes[key]) for key in sorted(classes)]


def average(classes: Sequence[ClassSummary]) -> dict[str, float | None]:
    """Average Dice and distances over the classes, each class counting the same.

    Args:
        classes: as `summarise` returns them; one without a value is left out.
    """
    names = ("sample_dice", "voxel_dice", "hausdorff_mm", "hausdorff95_mm")
    return {name: mean(getattr(item, name) for item in classes) for name in names}


def mean(values: Iterable[float | None]) -> float | None:
    """Average the finite values, or return None where there is none.

    Example:
        >>> mean([1.0, None, 2.0, float("inf")])
        1.5
    """
    finite = [value for value in values if value is not None and isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def _summarise_class(class_id: int, class_name: str, metrics: Sequence[StructureMetrics]) -> ClassSummary:
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
        hausdorff_mm=mean(item.hausdorff_mm for item in metrics),
        hausdorff95_mm=mean(item.hausdorff95_mm for item in metrics),
        n_scored=len(metrics) - n_absent,
        n_measured=len(metrics) - n_absent - n_missed - n_spurious,
        n_missed=n_missed,
        n_spurious=n_spurious,
        n_absent=n_absent,
    )


def _parse_row(path: Path, line: int, cells: dict[str, str]) -> MetricsRow:
    def number(name: str) -> float | None:
        try:
            value = float(cells[name]) if cells[name] else None
        except (TypeError, ValueError):
            value = float("nan")
        if value is not None and isnan(value):
            raise InputError(path, _STAGE, f"a number in {name}, line {line}", repr(cells[name]))
        return value

    dice, hausdorff_mm, hausdorff95_mm, predicted_ml, reference_ml = map(number, _NUMBERS)
    class_id = number("class_id")
    if class_id is None or predicted_ml is None or reference_ml is None:
        raise InputError(path, _STAGE, f"class_id and volumes in line {line}", "an empty cell")
    metrics = StructureMetrics(dice, hausdorff_mm, hausdorff95_mm, predicted_ml, reference_ml)
    return MetricsRow(cells["case"], int(class_id), cells["class_name"], metrics)
