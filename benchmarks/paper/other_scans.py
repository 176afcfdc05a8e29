"""How networks do on scans other than those of the tables: one network for many scans, or one for each."""

from collections.abc import Mapping
from pathlib import Path

from paper.budget import Budget
from paper.evaluation import NOT_RUN, Outcome
from paper.grid import Cell, Grid, Method, scan_cells
from paper.rows import AVERAGE, Row, percent, plain, write_csv
from paper.spread import Spread

_Rows = Mapping[str | None, Row]


def scan_rows(grid: Grid, budget: Budget, outcomes: Mapping[Cell, Outcome]) -> dict[str, _Rows]:
    """Rows of the methods that are tested on other scans, by method and key of the scans (None: the tables').

    Args:
        grid: methods and scans.
        budget: noise levels, blocks and seeds.
        outcomes: what became of the cells.
    """
    rows: dict[str, _Rows] = {}
    for method in grid.methods.values():
        cells = {scan: scan_cells(method, scan, budget) for scan in (None, *grid.other_scans)}
        if method.scans and cells[None]:
            rows[method.name] = {
                scan: _row(method, found, outcomes) for scan, found in cells.items() if found
            }
    return rows


def scans_markdown(rows: Mapping[str, _Rows], grid: Grid, budget: Budget, runs: Path) -> str:
    """Lay out the average Dice of every row that has been run on every scan.

    Args:
        rows: as `scan_rows` gives them.
        grid: titles of the scans.
        budget: noise level and share of lines of the tables.
        runs: folder of all runs, for the reasons of what is missing.
    """
    own = f"{percent(budget.fraction)} of the lines, {percent(budget.noises[0])} noise"
    titles = [own, *(scan.title for scan in grid.other_scans.values())]
    lines = [f"| method | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for known in rows.values():
        if not any(row.begun for row in known.values()):
            continue
        told = [_text(known.get(scan), runs) for scan in (None, *grid.other_scans)]
        title = next(iter(known.values())).title
        lines.append(f"| {title} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def write_scans_csv(path: Path, rows: Mapping[str, _Rows], runs: Path) -> None:
    """Write one line for each row and scan: average Dice, mean and standard deviation over the seeds.

    Args:
        path: the file.
        rows: as `scan_rows` gives them.
        runs: folder of all runs.
    """
    lines: list[list[object]] = []
    for known in rows.values():
        for scan, row in known.items():
            spread = Spread(row.values(AVERAGE, "sample_dice"))
            numbers = [spread.mean, spread.deviation] if spread.values else [None, None]
            missing = "; ".join(plain(each.missing, runs) for each in row.outcomes if each.missing)
            lines.append([row.title, scan or "", len(row.done), len(row.outcomes), *numbers, missing])
    header = ["method", "scan", "seeds", "seeds_planned", "average_dice", "average_dice_sd", "missing"]
    write_csv(path, header, lines)


def _row(method: Method, cells: list[Cell], outcomes: Mapping[Cell, Outcome]) -> Row:
    return Row(method, cells[0].block, tuple(outcomes[cell] for cell in cells))


def _text(row: Row | None, runs: Path) -> str:
    if row is None:
        return ""
    if not row.begun:
        return "-"
    if not row.done:
        reason = next(each.missing for each in row.outcomes if each.missing != NOT_RUN)
        return f"missing: {plain(reason, runs)}"
    seeds = "" if len(row.done) == len(row.outcomes) else f" ({len(row.done)} of {len(row.outcomes)} seeds)"
    return Spread(row.values(AVERAGE, "sample_dice")).text(4) + seeds
