"""Work through the cells: what is finished is kept, what fails is named, the rest goes on."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kseg.transforms.errors import InputError
from paper.budget import Budget, Heads
from paper.evaluation import Inference, Outcome, evaluate_cell, read_outcome
from paper.grid import Cell, Grid, figure5_cell
from paper.plan import Training, cell_fraction, plan_cell
from paper.scans import simulate_test_heads
from paper.training import train


@dataclass(frozen=True)
class Experiment:
    """What is run, on what, and where.

    Attributes:
        grid: methods and their order.
        budget: what every method gets.
        heads: label maps.
        runs: folder that holds trainings, scans and results of cells.
    """

    grid: Grid
    budget: Budget
    heads: Heads
    runs: Path

    def plan(self, cell: Cell) -> list[Training]:
        """Trainings of a cell, in order."""
        return plan_cell(cell, self.grid.methods[cell.method], self.budget, self.heads)

    def read(self, cell: Cell) -> Outcome:
        """Result of a cell, or why there is none."""
        try:
            return read_outcome(cell, self.plan(cell), self.heads, self.runs)
        except (ValueError, OSError) as error:
            return Outcome(cell, missing=one_line(error))

    def run(self, cell: Cell) -> None:
        """Train and evaluate a cell, unless its result is there.

        Raises:
            InputError: a training or the evaluation failed, or something that was left before is damaged.
        """
        trainings = self.plan(cell)
        if not read_outcome(cell, trainings, self.heads, self.runs).missing:
            return
        for training in trainings:
            print(f"  {training.name}", flush=True)
            train(training, self.runs, self.budget.num_workers)
        method = self.grid.methods[cell.method]
        fraction = cell_fraction(method, self.budget)
        scans = simulate_test_heads(self.heads, cell.noise, fraction, self.runs)
        inference = Inference(scans, method.flip, recurrences=cell == figure5_cell(self.budget))
        evaluate_cell(cell, trainings, inference, self.runs)


def run_cells(experiment: Experiment, cells: Sequence[Cell]) -> dict[Cell, str]:
    """Run cells one after the other.

    A cell that fails leaves its reason in `failures/CELL.txt`, until it succeeds.

    Args:
        experiment: what is run.
        cells: in the order of work.

    Returns:
        Reason of each cell that failed.
    """
    failures: dict[Cell, str] = {}
    folder = experiment.runs / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    for number, cell in enumerate(cells, start=1):
        print(f"[{number}/{len(cells)}] {cell.name}", flush=True)
        try:
            experiment.run(cell)
        except Exception as error:  # whatever it is, the others go on
            failures[cell] = one_line(error)
            (folder / f"{cell.name}.txt").write_text(failures[cell] + "\n", encoding="utf-8")
            print(f"{cell.name}: {failures[cell]}", file=sys.stderr, flush=True)
        else:
            (folder / f"{cell.name}.txt").unlink(missing_ok=True)
    return failures


def read_cells(experiment: Experiment, cells: Sequence[Cell]) -> dict[Cell, Outcome]:
    """Read the results of cells; one without a result says why, a failure in this or an earlier run included.

    Args:
        experiment: what was run.
        cells: whose results are read.
    """
    outcomes = {}
    for cell in cells:
        outcome = experiment.read(cell)
        failure = experiment.runs / "failures" / f"{cell.name}.txt"
        if outcome.missing == "not run" and failure.is_file():
            outcome = Outcome(cell, missing=failure.read_text(encoding="utf-8").strip())
        outcomes[cell] = outcome
    return outcomes


def one_line(error: Exception) -> str:
    """What an error says, with its kind unless it is one of those that say everything themselves."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
