"""What all pages of results have: how they were made, and that each is written in one step."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kseg.transforms.atomic import atomic_path
from paper.evaluation import Outcome
from paper.grid import Cell


def how_made(conditions: Sequence[str], outcomes: Mapping[Cell, Outcome]) -> str:
    """Say under which conditions, from which commit and on which hardware the results were made.

    Args:
        conditions: budget and the like, one line each.
        outcomes: what became of every cell.
    """
    done = [outcome.record for outcome in outcomes.values() if not outcome.missing]
    # Cells that share their trainings are told apart by their evaluation alone.
    trained = {tuple(record["trainings"]): record["seconds"]["training"] for record in done}
    hours = (sum(trained.values()) + sum(record["seconds"]["evaluation"] for record in done)) / 3600
    lines = [
        *conditions,
        f"{len(done)} of {len(outcomes)} cells, {hours:.2f} hours of training and evaluation together",
        f"commits (`+`: with changes besides): {_distinct(done, 'commits')}",
        f"hardware: {_distinct(done, 'hardware')}",
    ]
    return "## How this was made\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"


def weights_taken(chosen: str) -> str:
    """Which weights a budget evaluates, and what was chosen by the test heads.

    Args:
        chosen: see `Budget`.
    """
    told = f"; chosen by results on the test heads: {chosen}" if chosen else ""
    return f"weights after the last epoch; training never sees the test heads{told}"


def write_page(path: Path, *parts: str) -> None:
    """Write a page in one step.

    Args:
        path: the file.
        parts: its text, each part ending with a line.
    """
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _distinct(records: Sequence[Mapping[str, Sequence[str]]], key: str) -> str:
    return "; ".join(sorted({value for record in records for value in record[key]})) or "none"
