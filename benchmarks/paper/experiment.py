"""Work through the cells: what is finished is kept, what fails is named, the rest goes on."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from kseg.transforms.errors import InputError
from paper.budget import Budget, Heads
from paper.evaluation import NOT_RUN, Inference, Outcome, cell_folder, evaluate_cell, read_outcome
from paper.grid import Cell, Grid
from paper.plan import Training
from paper.records import locked
from paper.rsanet_budget import RsanetBudget
from paper.training import train


@dataclass(frozen=True)
class Experiment(ABC):
    """What is run, on what, and where; those of a paper say how.

    Attributes:
        grid: methods and their order.
        heads: label maps.
        runs: folder that holds trainings, scans and results of cells.
        budget: what every method gets.
    """

    grid: Grid
    heads: Heads
    runs: Path
    budget: Budget | RsanetBudget

    @abstractmethod
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of work."""

    @abstractmethod
    def plan(self, cell: Cell) -> list[Training]:
        """Trainings of a cell, in order."""

    @abstractmethod
    def conditions(self, cell: Cell) -> Mapping[str, Any]:
        """What decides the evaluation of a cell besides its trainings and the test heads."""

    @abstractmethod
    def inference(self, cell: Cell) -> Inference:
        """How a cell is used; simulates what it is used on, unless that is there."""

    def read(self, cell: Cell) -> Outcome:
        """Result of a cell, or why there is none."""
        try:
            return self._outcome(cell)
        except Exception as error:  # whatever is wrong with what lies there, the others are read
            return Outcome(cell, missing=one_line(error))

    def run(self, cell: Cell, wait: bool = True) -> None:
        """Train and evaluate a cell, unless its result is there.

        Args:
            cell: the cell.
            wait: while another driver has it or a training that it needs.

        Raises:
            InputError: a training or the evaluation failed, or something that was left before is damaged.
            BlockingIOError: another driver has it, and that was not to be waited for.
        """
        if not self._outcome(cell).missing:
            return
        # Before the trainings: a configuration that is changed meanwhile must not name their results.
        trainings, folder = self.plan(cell), self.folder(cell)
        for training in trainings:
            print(f"  {training.name}", flush=True)
            train(training, self.runs, self.budget.num_workers, wait)
        with locked(folder, wait):
            # Another driver may have had it in the meantime.
            if self._outcome(cell).missing:
                evaluate_cell(cell, trainings, self.inference(cell), folder, self.runs)

    def folder(self, cell: Cell) -> Path:
        """Where the results of a cell lie."""
        return cell_folder(cell, self.plan(cell), self.heads, self.conditions(cell), self.runs)

    def failure(self, cell: Cell) -> Path:
        """The file that says why a cell failed when it was run last."""
        return self.runs / "failures" / f"{self.folder(cell).name}.txt"

    def _outcome(self, cell: Cell) -> Outcome:
        return read_outcome(cell, self.plan(cell)[-1].unit, self.folder(cell))


def run_cells(experiment: Experiment, cells: Sequence[Cell]) -> dict[Cell, str]:
    """Run cells one after the other; what another driver has comes last.

    So drivers that are started on the same cells share them. A cell that fails leaves its reason in a file, see
    `Experiment.failure`, until it succeeds.

    Args:
        experiment: what is run.
        cells: in the order of work.

    Returns:
        Reason of each cell that failed.
    """
    failures: dict[Cell, str] = {}
    (experiment.runs / "failures").mkdir(parents=True, exist_ok=True)
    elsewhere: list[Cell] = []
    # Those put off stand behind the cells that the loop began with, and are waited for.
    for number, cell in enumerate(chain(cells, elsewhere), start=1):
        print(f"[{min(number, len(cells))}/{len(cells)}] {cell.name}", flush=True)
        try:
            experiment.run(cell, wait=number > len(cells))
        except BlockingIOError:
            print("  another driver has it", flush=True)
            elsewhere.append(cell)
        except Exception as error:  # whatever it is, the others go on
            failures[cell] = one_line(error)
            experiment.failure(cell).write_text(failures[cell] + "\n", encoding="utf-8")
            print(f"{cell.name}: {failures[cell]}", file=sys.stderr, flush=True)
        else:
            experiment.failure(cell).unlink(missing_ok=True)
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
        failure = experiment.failure(cell)
        if outcome.missing == NOT_RUN and failure.is_file():
            outcome = Outcome(cell, missing=failure.read_text(encoding="utf-8").strip())
        outcomes[cell] = outcome
    return outcomes


def one_line(error: Exception) -> str:
    """What an error says, with its kind unless it is one of those that say everything themselves."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
