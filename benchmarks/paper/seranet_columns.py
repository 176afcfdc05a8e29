"""The numbers of SERANet's tables: Dice and Hausdorff distance by tissue, calibration."""

from paper.rows import AVERAGE, CALIBRATION, TISSUES, Row
from paper.tables import Column, measured

METRICS = {"sample_dice": "dice", "hausdorff_mm": "hausdorff_mm", "hausdorff95_mm": "hausdorff95_mm"}
"""Means of a tissue, and what they are called in CSV files."""

_PRINTED = {"sample_dice": ("Dice", 4), "hausdorff_mm": ("HD mm", 2)}
_PLACES = (*TISSUES, AVERAGE)


def _calibration(title: str, name: str) -> Column:
    def values(row: Row) -> tuple[float, ...]:
        return row.calibration_errors(name)

    return Column(title, name, values)


MARKDOWN = [
    *(
        measured(f"{tissue} {title}", f"{tissue}_{METRICS[metric]}", tissue, metric, digits)
        for tissue in _PLACES
        for metric, (title, digits) in _PRINTED.items()
    ),
    _calibration("ECE", CALIBRATION[1]),
]
"""Columns of a table that is read."""

CSV = [
    *(
        measured(f"{tissue} {metric}", f"{tissue}_{name}", tissue, metric)
        for tissue in _PLACES
        for metric, name in METRICS.items()
    ),
    *(_calibration(name, name) for name in CALIBRATION),
]
"""Columns of a CSV file."""

AVERAGE_DICE = measured("average Dice", "average_dice", AVERAGE, "sample_dice")
"""By which the order of rows is judged."""
