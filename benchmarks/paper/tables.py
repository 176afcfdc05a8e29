"""Tables 1 and 2: Dice and Hausdorff distance by tissue, with what is missing and what may be said of the order."""

from collections.abc import Sequence
from pathlib import Path

from paper.budget import Budget
from paper.grid import TYPES, Grid
from paper.rows import AVERAGE, CALIBRATION, TISSUES, Row, plain, write_csv
from paper.spread import Spread, compare

METRICS = {"sample_dice": "dice", "hausdorff_mm": "hausdorff_mm", "hausdorff95_mm": "hausdorff95_mm"}

_COLUMNS = (*TISSUES, AVERAGE)
_SAYS = {
    ">": "{left} is better than {right}",
    "<": "{left} is worse than {right}",
    "tie": "{left} and {right}: a tie, the difference lies within the spread",
    "one seed": "{left} and {right}: one seed, so no spread to judge the difference by",
    "missing": "{left} and {right}: missing",
}


def table_markdown(rows: Sequence[Row], runs: Path) -> str:
    """Lay out a table.

    Args:
        rows: as `table_rows` gives them.
        runs: folder of all runs, for the reasons of what is missing.
    """
    names = [f"{column} {kind}" for column in _COLUMNS for kind in ("Dice", "HD mm")]
    lines = [f"| method | {' | '.join(names)} | ECE | seeds |", "|---" * (len(names) + 3) + "|"]
    section = ""
    for row in rows:
        if _section(row) != section:
            section = _section(row)
            lines.append(f"| *{section}* |" + " |" * (len(names) + 2))
        error = Spread(row.calibration_errors(CALIBRATION[1])).text(4)
        lines.append(f"| {row.method.title} | {' | '.join(_cells(row, runs))} | {error} | {_seeds(row)} |")
    return "\n".join(lines) + "\n"


def missing_markdown(rows: Sequence[Row], runs: Path) -> str:
    """Name every cell that is missing, and every structure that no distance could be measured of.

    Args:
        rows: rows of a table.
        runs: folder of all runs.
    """
    lines = [
        f"- `{outcome.cell.name}`: missing: {plain(outcome.missing, runs)}"
        for row in rows
        for outcome in row.outcomes
        if outcome.missing
    ]
    for row in rows:
        for outcome in row.done:
            lines += [
                f"- `{outcome.cell.name}`: no {item.class_name} found in {item.n_missed} of {item.n_scored} heads: "
                "Dice 0, left out of the mean distance"
                for item in outcome.classes
                if item.n_missed
            ]
    return "\n".join(lines) + "\n" if lines else "Nothing is missing.\n"


def order_markdown(rows: Sequence[Row], grid: Grid, budget: Budget) -> str:
    """Judge the order of pairs of rows by their average Dice.

    Args:
        rows: rows of a table.
        grid: which pairs.
        budget: kinds of block.
    """
    known = {(row.method.name, row.block): row for row in rows}
    lines = []
    for left_name, right_name in grid.comparisons:
        for block in budget.blocks:
            left = known.get((left_name, block)) or known.get((left_name, None))
            right = known.get((right_name, block)) or known.get((right_name, None))
            if left is None or right is None:
                continue
            one, other = (row.values(AVERAGE, "sample_dice") for row in (left, right))
            said = _SAYS[compare(one, other)].format(left=left.title, right=right.title)
            numbers = f": {Spread(one).text(4)} and {Spread(other).text(4)}" if one and other else ""
            lines.append(f"- {said}{numbers}{_partial(left, right)}")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def write_table_csv(path: Path, rows: Sequence[Row], runs: Path) -> None:
    """Write a table with every number as CSV: mean and standard deviation over the seeds.

    Args:
        path: the file.
        rows: rows of the table.
        runs: folder of all runs.
    """
    numbers = [(tissue, metric) for tissue in _COLUMNS for metric in METRICS]
    header = ["method", "type", "seeds", "seeds_planned"]
    for tissue, metric in numbers:
        header += [f"{tissue}_{METRICS[metric]}", f"{tissue}_{METRICS[metric]}_sd"]
    for name in CALIBRATION:
        header += [name, f"{name}_sd"]
    lines = []
    for row in rows:
        line: list[object] = [
            row.method.title,
            TYPES.get(row.block or "", ""),
            len(row.done),
            len(row.outcomes),
        ]
        spreads = [Spread(row.values(tissue, metric)) for tissue, metric in numbers]
        for spread in (*spreads, *(Spread(row.calibration_errors(name)) for name in CALIBRATION)):
            line += [spread.mean, spread.deviation] if spread.values else [None, None]
        reasons = [f"{out.cell.name}: {plain(out.missing, runs)}" for out in row.outcomes if out.missing]
        lines.append([*line, "; ".join(reasons)])
    write_csv(path, [*header, "missing"], lines)


def _section(row: Row) -> str:
    if row.method.beyond:
        return "Beyond the paper"
    return f"Reconstruction type {TYPES[row.block]} ({row.block})" if row.block else ""


def _cells(row: Row, runs: Path) -> list[str]:
    if not row.done:
        reason = plain(row.outcomes[0].missing, runs)
        return [f"missing: {reason}", *[""] * (2 * len(_COLUMNS) - 1)]
    return [
        Spread(row.values(tissue, metric)).text(digits)
        for tissue in _COLUMNS
        for metric, digits in (("sample_dice", 4), ("hausdorff_mm", 2))
    ]


def _seeds(row: Row) -> str:
    done, planned = len(row.done), len(row.outcomes)
    return str(done) if done == planned else f"{done} of {planned}"


def _partial(*rows: Row) -> str:
    partial = [f"{row.title}: {_seeds(row)} seeds" for row in rows if len(row.done) < len(row.outcomes)]
    return f" ({', '.join(partial)})" if partial else ""
