"""The files that hold every single network of an experiment, and every single case of each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paper.evaluation import Outcome
from paper.rows import plain, write_csv

_OF_A_CASE = ("dice", "iou", "hausdorff_mm", "hausdorff95_mm", "predicted_ml", "reference_ml")


def write_cells_csv(
    path: Path, outcomes: Sequence[Outcome], runs: Path, tell: Callable[[Outcome], Mapping[str, object]]
) -> None:
    """Write one line per cell: what the experiment tells of it, then what it took, or why it is missing.

    Args:
        path: the file.
        outcomes: what became of every cell.
        runs: folder of all runs.
        tell: by column what an experiment tells of a cell, the same columns of each; None where there is nothing.
    """
    lines = [{**tell(outcome), **_told_of_all(outcome, runs)} for outcome in outcomes]
    write_csv(path, list(lines[0]), [list(line.values()) for line in lines])


def write_cases_csv(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write one line per cell, case and class: what means and pooled numbers are made of.

    Args:
        path: the file.
        outcomes: what became of every cell; those that are missing have no lines.
    """
    columns = ["cell", "case", "class", *_OF_A_CASE]
    lines = [
        [outcome.cell.name, row.case, row.class_name, *(getattr(row.metrics, name) for name in _OF_A_CASE)]
        for outcome in outcomes
        for row in outcome.rows
    ]
    write_csv(path, columns, lines)


def _told_of_all(outcome: Outcome, runs: Path) -> dict[str, object]:
    seconds = outcome.record.get("seconds", {})
    return {
        "training_seconds": seconds.get("training"),
        "evaluation_seconds": seconds.get("evaluation"),
        "commits": " ".join(outcome.record.get("commits", [])),
        "missing": plain(outcome.missing, runs),
    }
