"""The files that hold every single network of an experiment, every single case of each, and their records."""

import gzip
import tarfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from kseg.transforms.atomic import atomic_path
from paper.evaluation import RESULT, Outcome
from paper.experiment import Experiment
from paper.grid import Cell
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


def write_records(path: Path, experiment: Experiment, outcomes: Mapping[Cell, Outcome]) -> None:
    """Pack the records of the cells that are done: unpacked in an empty folder of runs, they need not be run again.

    Args:
        path: the archive, the same for the same records.
        experiment: what was run.
        outcomes: what became of every cell.
    """
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in sorted(experiment.folder(cell) for cell, each in outcomes.items() if not each.missing):
            for name in RESULT:
                content = (folder / name).read_bytes()
                entry = tarfile.TarInfo((folder / name).relative_to(experiment.runs).as_posix())
                entry.size = len(content)
                archive.addfile(entry, BytesIO(content))
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def _told_of_all(outcome: Outcome, runs: Path) -> dict[str, object]:
    seconds = outcome.record.get("seconds", {})
    return {
        "training_seconds": seconds.get("training"),
        "evaluation_seconds": seconds.get("evaluation"),
        "commits": " ".join(outcome.record.get("commits", [])),
        "missing": plain(outcome.missing, runs),
    }
