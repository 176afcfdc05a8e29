"""What a study found at each point of its grid, and the cheapest scan that is good enough."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from kseg.pipelines.metrics_summary import mean
from kseg.pipelines.metrics_table import MetricsRow
from kseg.transforms.atomic import atomic_path

_METRICS = ("dice", "hausdorff_mm", "hausdorff95_mm")
_SPREADS = ("", "_lowest", "_highest")
_COLUMNS = ("noise", "fraction", "class_name", "n_heads", "n_missed", "n_spurious")
_AVERAGE = "average"


@dataclass(frozen=True)
class StudyPoint:
    """A scan of the grid.

    Attributes:
        noise: noise level.
        fraction: share of k-space that is measured, in (0, 1].

    Example:
        >>> print(StudyPoint(noise=0.1, fraction=0.3))
        10% noise, 30% of k-space
    """

    noise: float
    fraction: float

    def __str__(self) -> str:
        return f"{percent(self.noise)} noise, {percent(self.fraction)} of k-space"


@dataclass(frozen=True)
class Spread:
    """One metric over the heads.

    Attributes:
        mean: mean.
        lowest: of all heads.
        highest: of all heads.
    """

    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class PointResult:
    """What was measured at one point.

    Attributes:
        point: the scan.
        rows: metrics, one for each head and class; none where a head is missing.
        missing: heads that have no result here and have one elsewhere: a mean over the others would not
            compare with the means of other points.
    """

    point: StudyPoint
    rows: tuple[MetricsRow, ...]
    missing: tuple[str, ...] = ()

    @property
    def n_heads(self) -> int:
        """Heads that were measured."""
        return len({row.case for row in self.rows})

    @property
    def n_unmeasured(self) -> int:
        """Structures without a distance, because one of prediction and reference has none of them."""
        return sum(row.metrics.missed or row.metrics.spurious for row in self.rows)

    def spread(self, metric: str) -> Spread | None:
        """Spread over the heads, each counting with its mean over the classes; None where nothing is known.

        Args:
            metric: `dice`, `hausdorff_mm` or `hausdorff95_mm`; infinite distances do not enter, see
                `n_unmeasured`.
        """
        return _spread(self.rows, metric)


def percent(share: float) -> str:
    """Write a share as a percentage.

    Example:
        >>> percent(0.125)
        '12.5%'
    """
    return f"{100 * share:g}%"


def cheapest(results: Iterable[PointResult], target: float) -> dict[float, PointResult | None]:
    """Find the smallest share of k-space that reaches the target, for each noise level.

    Args:
        results: of the study.
        target: mean Dice to reach.

    Returns:
        By noise level, in the order of the results; None where no point reaches the target.
    """
    found: dict[float, PointResult | None] = {}
    for result in sorted(results, key=lambda each: each.point.fraction):
        dice = result.spread("dice")
        best = found.setdefault(result.point.noise, None)
        if best is None and dice is not None and dice.mean >= target:
            found[result.point.noise] = result
    return dict(sorted(found.items()))


def write_study(path: Path, results: Iterable[PointResult]) -> None:
    """Write the study as CSV, atomically: for each point a row for each class and one for their average.

    Six significant digits; an empty cell for what is not known. A point with missing heads has one row, that
    of the average, with nothing but their names in the last column.

    Args:
        path: the file, replaced if it exists.
        results: in the order of the rows.
    """
    numbers = [f"{metric}{spread}" for metric in _METRICS for spread in _SPREADS]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, *numbers, "missing"])
        for result in results:
            missing = "; ".join(result.missing)
            for name, rows in _by_class(result.rows).items():
                point = f"{result.point.noise:g}", f"{result.point.fraction:g}"
                writer.writerow([*point, name, *_counts(rows), *_cells(rows), missing])


def study_text(results: Sequence[PointResult], target: float) -> str:
    """Say for each noise level which is the cheapest scan that reaches the target, and what is missing.

    Args:
        results: of the study.
        target: mean Dice to reach.
    """
    lines = [f"cheapest scan with a mean Dice of at least {target:g}:"]
    for noise, result in cheapest(results, target).items():
        if result is not None:
            said = f"{percent(result.point.fraction)} of k-space ({_said(result)})"
        else:
            best = _best(each for each in results if each.point.noise == noise)
            said = "none" if best is None else f"none; best is {percent(best.point.fraction)} ({_said(best)})"
        lines.append(f"  {percent(noise)} noise: {said}")
    lines += [f"failed: {each.point}: {', '.join(each.missing)}" for each in results if each.missing]
    return "\n".join(lines)


def _best(results: Iterable[PointResult]) -> PointResult | None:
    known = [(dice.mean, result) for result in results if (dice := result.spread("dice")) is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def _said(result: PointResult) -> str:
    dice, distance = result.spread("dice"), result.spread("hausdorff95_mm")
    said = [] if dice is None else [f"Dice {dice.mean:.3f}"]
    if dice is not None and result.n_heads > 1:
        said.append(f"lowest head {dice.lowest:.3f}")
    if distance is not None:
        said.append(f"HD95 {distance.mean:.2f} mm")
    return ", ".join(said)


def _by_class(rows: Sequence[MetricsRow]) -> dict[str, list[MetricsRow]]:
    classes: dict[str, list[MetricsRow]] = {}
    for row in sorted(rows, key=lambda each: each.class_id):
        classes.setdefault(row.class_name, []).append(row)
    return {**classes, _AVERAGE: list(rows)}


def _counts(rows: Sequence[MetricsRow]) -> tuple[int, int, int]:
    n_missed = sum(row.metrics.missed for row in rows)
    return len({row.case for row in rows}), n_missed, sum(row.metrics.spurious for row in rows)


def _cells(rows: Sequence[MetricsRow]) -> list[str]:
    cells = []
    for metric in _METRICS:
        spread = _spread(rows, metric)
        values = () if spread is None else (spread.mean, spread.lowest, spread.highest)
        cells += [f"{value:.6g}" for value in values] or [""] * len(_SPREADS)
    return cells


def _spread(rows: Iterable[MetricsRow], metric: str) -> Spread | None:
    heads: dict[str, list[float | None]] = {}
    for row in rows:
        heads.setdefault(row.case, []).append(getattr(row.metrics, metric))
    values = [value for value in map(mean, heads.values()) if value is not None and isfinite(value)]
    return Spread(sum(values) / len(values), min(values), max(values)) if values else None
