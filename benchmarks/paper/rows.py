"""Rows of the tables: cells that differ in their seed alone."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from kseg.pipelines.metrics_summary import ClassSummary
from kseg.transforms.atomic import atomic_path
from paper.budget import Budget
from paper.evaluation import NOT_RUN, Outcome
from paper.grid import TYPES, Cell, Grid, Method, table_cells

TISSUES = ("CSF", "GM", "WM")
AVERAGE = "average"
CALIBRATION = ("expected_calibration_error", "structures_expected_calibration_error")
"""Of all voxels, and of those where a structure is seen."""

_ABSOLUTE = re.compile(r"(?<![\w.])/(?:[^\s/:'\"]+/)+")
_LONGEST = 200


@dataclass(frozen=True)
class Row:
    """A method with one kind of block at one noise level, over its seeds.

    Attributes:
        method: the method.
        block: kind of reconstruction block, or None where there is none.
        outcomes: what became of the cell of each seed.
    """

    method: Method
    block: str | None
    outcomes: tuple[Outcome, ...]

    @property
    def title(self) -> str:
        """Name of the method, with the paper's type of its block."""
        return self.method.title + (f" ({TYPES[self.block]})" if self.block else "")

    @property
    def done(self) -> list[Outcome]:
        """Outcomes of the seeds that there are results of."""
        return [outcome for outcome in self.outcomes if not outcome.missing]

    @property
    def begun(self) -> bool:
        """Whether one of its cells has been run, in vain perhaps."""
        return any(outcome.missing != NOT_RUN for outcome in self.outcomes)

    def values(self, tissue: str, metric: str) -> tuple[float, ...]:
        """One number for each seed that is there; none at all where one of them could not be measured.

        Args:
            tissue: name of a class, or `AVERAGE` of the `TISSUES`.
            metric: see `score`.
        """
        numbers = [score(outcome.classes, tissue, metric) for outcome in self.done]
        return tuple(number for number in numbers if number is not None) if None not in numbers else ()

    def calibration_errors(self, name: str) -> tuple[float, ...]:
        """One calibration error for each seed that is there; none at all where one of them has none.

        Args:
            name: one of `CALIBRATION`.
        """
        numbers = [outcome.record["calibration"].get(name) for outcome in self.done]
        return () if None in numbers else tuple(float(number) for number in numbers)

    def by_seed(self) -> dict[int, float]:
        """Average Dice of each seed that is there."""
        scores = {outcome.cell.seed: score(outcome.classes, AVERAGE, "sample_dice") for outcome in self.done}
        return {seed: value for seed, value in scores.items() if value is not None}


def score(classes: Sequence[ClassSummary], tissue: str, metric: str) -> float | None:
    """One number of one cell; the average needs all tissues.

    Args:
        classes: metrics of a cell.
        tissue: name of a class, or `AVERAGE` of the `TISSUES`.
        metric: name of a mean in `ClassSummary`, such as `sample_dice` or `lesions.true_positive_rate`.
    """
    value = attrgetter(metric)
    known: dict[str, Any] = {item.class_name: value(item) for item in classes}
    numbers = [known.get(name) for name in (TISSUES if tissue == AVERAGE else (tissue,))]
    present = [float(number) for number in numbers if number is not None]
    return sum(present) / len(present) if len(present) == len(numbers) else None


def table_rows(grid: Grid, budget: Budget, noise: float, outcomes: Mapping[Cell, Outcome]) -> list[Row]:
    """Rows of the table of a noise level: without blocks, type A, type B, beyond the paper.

    Args:
        grid: methods in the order of the table.
        budget: which blocks and seeds there are.
        noise: noise level.
        outcomes: what became of the cells.
    """
    rows = [
        Row(method, block, tuple(outcomes[cell] for cell in cells))
        for method in grid.methods.values()
        for block, cells in table_cells(method, noise, budget).items()
    ]
    order = [None, *budget.blocks]
    return sorted(rows, key=lambda row: (row.method.beyond, order.index(row.block)))


def plain(reason: str, runs: Path) -> str:
    """A reason as it may stand in a table: no folders of this machine, no column signs, not endless.

    Args:
        reason: one line.
        runs: folder of all runs; what lies in it keeps its relative path.

    Example:
        >>> plain("/data/runs/cells/a/result.json: expected | in /opt/x/y.py", Path("/data/runs"))
        'cells/a/result.json: expected / in y.py'
    """
    text = _ABSOLUTE.sub("", reason.replace(f"{runs.resolve()}/", "").replace(f"{runs}/", ""))
    text = text.replace("|", "/")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def percent(share: float) -> str:
    """A share as it is read.

    Example:
        >>> percent(0.3), percent(0.075)
        ('30 %', '7.5 %')
    """
    return f"{100 * share:.4g} %"


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a CSV file in one step; None is an empty cell.

    Args:
        path: the file.
        header: names of the columns.
        lines: cells of each line.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(value) for value in line] for line in lines)


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
