"""Tables of rows and columns: mean and spread, what is missing, and what may be said of the order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from paper.evaluation import NOT_RUN
from paper.grid import TYPES
from paper.rows import Row, plain, write_csv
from paper.spread import Spread, compare

_SAYS = {
    ">": "{left} is better than {right}",
    "<": "{left} is worse than {right}",
    "tie": "{left} and {right}: a tie, the difference lies within the spread",
    "few": "{left} and {right}: too few seeds to judge the difference by",
}
HOW_JUDGED = (
    "One row is called better than another only where both have three seeds and the means lie further apart than "
    "both standard deviations together; otherwise it is a tie. Of two equal methods 1 in 12 would still be "
    "called better, and the spread is that of trainings, on the same heads and scans: it says nothing of other "
    "heads. A seed decides what is seen in training, the same for all rows, so the difference seed by seed may "
    "vary less than the rows do; it is told where two rows share seeds, and the order is not judged by it."
)
"""What the words of `order_markdown` mean."""


@dataclass(frozen=True)
class Column:
    """A number that a row has for each of its seeds.

    Attributes:
        title: as it is read.
        name: as it is called in a CSV file.
        values: the numbers of a row.
        digits: of mean and spread.
    """

    title: str
    name: str
    values: Callable[[Row], tuple[float, ...]]
    digits: int = 4


def measured(title: str, name: str, tissue: str, metric: str, digits: int = 4) -> Column:
    """A column of a metric.

    Args:
        title: as it is read.
        name: as it is called in a CSV file.
        tissue: see `Row.values`.
        metric: see `Row.values`.
        digits: of mean and spread.
    """
    return Column(title, name, lambda row: row.values(tissue, metric), digits)


def table_markdown(rows: Sequence[Row], columns: Sequence[Column], runs: Path) -> str:
    """Lay out a table of the rows that have been run.

    Args:
        rows: as `table_rows` gives them; `missing_markdown` names the others.
        columns: its numbers.
        runs: folder of all runs, for the reasons of what is missing.
    """
    titles = [column.title for column in columns]
    lines = [f"| method | {' | '.join(titles)} | seeds |", "|---" * (len(titles) + 2) + "|"]
    section = ""
    for row in filter(attrgetter("begun"), rows):
        if _section(row) != section:
            section = _section(row)
            lines.append(f"| *{section}* |" + " |" * (len(titles) + 1))
        cells = [Spread(column.values(row)).text(column.digits) for column in columns]
        if not row.done:
            reason = next(each.missing for each in row.outcomes if each.missing != NOT_RUN)
            cells = [f"missing: {plain(reason, runs)}", *[""] * (len(columns) - 1)]
        lines.append(f"| {row.method.title} | {' | '.join(cells)} | {_seeds(row)} |")
    return "\n".join(lines) + "\n"


def missing_markdown(rows: Sequence[Row], runs: Path) -> str:
    """Name what there are no numbers of: rows that have not been run, cells of the others, distances of structures.

    Args:
        rows: rows of a table.
        runs: folder of all runs.
    """
    untouched = [row.title for row in rows if not row.begun]
    lines = [f"- not run yet: {'; '.join(untouched)}"] if untouched else []
    for row in filter(attrgetter("begun"), rows):
        lines += [
            f"- `{outcome.cell.name}`: missing: {plain(outcome.missing, runs)}"
            for outcome in row.outcomes
            if outcome.missing
        ]
        for outcome in row.done:
            lines += [
                f"- `{outcome.cell.name}`: no {item.class_name} found in {item.n_missed} of {item.n_scored} cases: "
                "Dice 0, left out of the mean distance"
                for item in outcome.classes
                if item.n_missed
            ]
    return "\n".join(lines) + "\n" if lines else "Nothing is missing.\n"


def order_markdown(rows: Sequence[Row], comparisons: Sequence[tuple[str, str]], column: Column) -> str:
    """Judge the order of the pairs of rows that both have one of their numbers; of the same block, where there are.

    Args:
        rows: rows of a table.
        comparisons: keys of the methods of each pair.
        column: the number.
    """
    known = {(row.method.name, row.block): row for row in rows}
    blocks: list[str | None] = [block for block in dict.fromkeys(row.block for row in rows) if block]
    lines = []
    for left_name, right_name in comparisons:
        for block in blocks or [None]:
            left = known.get((left_name, block)) or known.get((left_name, None))
            right = known.get((right_name, block)) or known.get((right_name, None))
            one, other = (column.values(row) if row else () for row in (left, right))
            if left is None or right is None or not one or not other:
                continue
            said = _SAYS[compare(one, other)].format(left=left.title, right=right.title)
            spreads = [Spread(values).text(column.digits) for values in (one, other)]
            lines.append(
                f"- {said}: {' and '.join(spreads)}{_paired(left, right, column)}{_partial(left, right)}"
            )
    return "\n".join(dict.fromkeys(lines)) + "\n" if lines else "No two rows to compare have been run.\n"


def write_table_csv(path: Path, rows: Sequence[Row], columns: Sequence[Column], runs: Path) -> None:
    """Write a table with every number as CSV: mean and standard deviation over the seeds.

    Args:
        path: the file.
        rows: rows of the table.
        columns: its numbers.
        runs: folder of all runs.
    """
    typed = any(row.block for row in rows)
    header = ["method", *(["type"] if typed else []), "seeds", "seeds_planned"]
    for column in columns:
        header += [column.name, f"{column.name}_sd"]
    lines = []
    for row in rows:
        line: list[object] = [row.method.title, *([TYPES.get(row.block or "", "")] if typed else [])]
        line += [len(row.done), len(row.outcomes)]
        for spread in (Spread(column.values(row)) for column in columns):
            line += [spread.mean, spread.deviation] if spread.values else [None, None]
        reasons = [f"{out.cell.name}: {plain(out.missing, runs)}" for out in row.outcomes if out.missing]
        lines.append([*line, "; ".join(reasons)])
    write_csv(path, [*header, "missing"], lines)


def _paired(left: Row, right: Row, column: Column) -> str:
    """Difference of two rows over the seeds that both have; nothing where that is one seed."""
    one, other = (
        dict(zip((outcome.cell.seed for outcome in row.done), column.values(row), strict=True))
        for row in (left, right)
    )
    differences = Spread(tuple(one[seed] - other[seed] for seed in one if seed in other))
    if differences.deviation is None:
        return ""
    return f"; seed by seed {'+' if differences.mean > 0 else ''}{differences.text(column.digits)}"


def _section(row: Row) -> str:
    if row.method.beyond:
        return "Beyond the paper"
    return f"Reconstruction type {TYPES[row.block]} ({row.block})" if row.block else ""


def _seeds(row: Row) -> str:
    done, planned = len(row.done), len(row.outcomes)
    return str(done) if done == planned else f"{done} of {planned}"


def _partial(*rows: Row) -> str:
    partial = [f"{row.title}: {_seeds(row)} seeds" for row in rows if len(row.done) < len(row.outcomes)]
    return f" ({', '.join(partial)})" if partial else ""
