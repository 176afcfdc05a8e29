"""The file that holds every single network of an experiment."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paper.evaluation import Outcome
from paper.rows import plain, write_csv


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


def _told_of_all(outcome: Outcome, runs: Path) -> dict[str, object]:
    seconds = outcome.record.get("seconds", {})
    return {
        "training_seconds": seconds.get("training"),
        "evaluation_seconds": seconds.get("evaluation"),
        "commits": " ".join(outcome.record.get("commits", [])),
        "missing": plain(outcome.missing, runs),
    }
