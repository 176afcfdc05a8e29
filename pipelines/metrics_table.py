"""The metrics of many cases as a table on disk."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

_CASE = ("case", "class_id", "class_name")
_NUMBERS = ("dice", "hausdorff_mm", "hausdorff95_mm", "predicted_ml", "reference_ml")
_WRITTEN = ("dice", "iou", *_NUMBERS[1:])
_COUNTS = ("reference_lesions", "detected_lesions", "false_positive_lesions")
_LESIONS = ("lesion_tpr", *_COUNTS)
_COLUMNS = (*_CASE, *_WRITTEN)
# Tables have had these columns: without the IoU at first, with those of lesions where there are any.
_KNOWN = ((*_CASE, *_NUMBERS), _COLUMNS, (*_COLUMNS, *_LESIONS))
_STAGE = "read metrics"


@dataclass(frozen=True)
class MetricsRow:
    """The metrics of one class in one case.

    Args:
        case: relative folder and NAME.
        class_id: label value.
        class_name: what the label value means.
        metrics: agreement of prediction and reference.
        lesions: its lesions, where it is a class of lesions whose components were counted.
    """

    case: str
    class_id: int
    class_name: str
    metrics: StructureMetrics
    lesions: LesionCounts | None = None


def write_metrics(path: Path, rows: Iterable[MetricsRow]) -> None:
    """Write the table as CSV, atomically.

    Six significant digits; `inf` for infinite; an empty cell for what does not apply. The columns of lesions are
    there where a class has them.

    Args:
        path: the file, replaced if it exists.
        rows: one per case and class.
    """
    table = list(rows)
    with_lesions = any(row.lesions is not None for row in table)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS + (_LESIONS if with_lesions else ()))
        for row in table:
            numbers = [getattr(row.metrics, name) for name in _WRITTEN]
            numbers += _lesion_numbers(row.lesions) if with_lesions else []
            cells = ["" if number is None else f"{number:.6g}" for number in numbers]
            writer.writerow([row.case, row.class_id, row.class_name, *cells])


def read_metrics(path: Path) -> list[MetricsRow]:
    """Read the table that `write_metrics` wrote, of this or an earlier version.

    The IoU follows from the Dice, and the rate of lesions from their numbers: these columns are not read.

    Args:
        path: the CSV file.

    Raises:
        InputError: no such file, other columns, or a cell that is not a number.
    """
    if not path.is_file():
        raise InputError(path, _STAGE, "a CSV file", "a folder" if path.exists() else "nothing")
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) not in _KNOWN:
            received = ",".join(reader.fieldnames or ()) or "an empty file"
            raise InputError(path, _STAGE, f"the columns {','.join(_COLUMNS)}", received)
        return [_parse_row(path, reader.line_num, cells) for cells in reader]


def _lesion_numbers(counts: LesionCounts | None) -> list[float | None]:
    if counts is None:
        return [None] * len(_LESIONS)
    return [counts.true_positive_rate, counts.reference, counts.detected, counts.false_positives]


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
    counts = [number(name) for name in _COUNTS if name in cells]
    return MetricsRow(
        cells["case"], int(class_id), cells["class_name"], metrics, _parse_lesions(path, line, counts)
    )


def _parse_lesions(path: Path, line: int, numbers: Sequence[float | None]) -> LesionCounts | None:
    whole = [int(number) for number in numbers if number is not None and number >= 0 and number % 1 == 0]
    if all(number is None for number in numbers):
        return None
    if len(whole) != len(_COUNTS) or whole[1] > whole[0]:
        raise InputError(path, _STAGE, f"numbers of lesions in line {line}", f"{list(numbers)}")
    return LesionCounts(*whole)
