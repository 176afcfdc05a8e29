"""What the drivers of all papers share: their options, and the way from cells to pages."""

import argparse
import dataclasses
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paper.evaluation import Outcome
from paper.experiment import Experiment, read_cells, run_cells
from paper.grid import Cell


@dataclass(frozen=True)
class Driver:
    """One paper's experiment as a program.

    Attributes:
        description: what `--help` says.
        methods: keys of the methods.
        load_budget: reads a budget that has `seeds`.
        prepare: makes the experiment of a budget, a folder of heads and a folder of runs.
        write: writes the results into a folder, and returns what could not be drawn.
        needs_figures: whether a figure that could not be drawn counts as missing for these cells.
    """

    description: str
    methods: Collection[str]
    load_budget: Callable[[str], Any]
    prepare: Callable[[Any, Path, Path], Experiment]
    write: Callable[[Any, Mapping[Cell, Outcome], Path], list[str]]
    needs_figures: Callable[[Any, Sequence[Cell]], bool] = lambda *_: True


def drive(driver: Driver, arguments: Sequence[str] | None = None) -> int:
    """Run an experiment and return the exit code.

    Args:
        driver: the experiment.
        arguments: of the command line; None for those of the process.
    """
    parser = _parser(driver)
    chosen = parser.parse_args(arguments)
    try:
        budget = driver.load_budget(chosen.budget)
        seeds = dict.fromkeys((*budget.seeds, *(chosen.seeds or ())))
        budget = dataclasses.replace(budget, seeds=tuple(seeds))
        experiment = driver.prepare(budget, chosen.heads, chosen.runs)
        cells = experiment.cells()
        for cell in cells:
            experiment.plan(cell)
    except ValueError as error:
        parser.error(str(error))
    methods, wanted = chosen.only or list(driver.methods), chosen.seeds or budget.seeds
    selected = [cell for cell in cells if cell.method in methods and cell.seed in wanted]
    if not chosen.no_runs:
        # A scheduler's signal ends the training in progress, which saves where it stands.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        run_cells(experiment, selected)
        signal.signal(signal.SIGTERM, before)
    outcomes = read_cells(experiment, cells)
    output = chosen.output or chosen.runs / "results" / budget.name
    undrawn = driver.write(experiment, outcomes, output)
    missing = [outcomes[cell] for cell in selected if outcomes[cell].missing]
    for outcome in missing:
        print(f"{outcome.cell.name}: missing: {outcome.missing}", file=sys.stderr)
    for line in undrawn:
        print(line, file=sys.stderr)
    print(f"{len(selected) - len(missing)} of {len(selected)} cells done; results in {output}")
    return 1 if missing or (undrawn and driver.needs_figures(experiment, selected)) else 0


def _parser(driver: Driver) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=driver.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--budget",
        required=True,
        help="name of a shipped budget, such as smoke, cpu or gpu, or a YAML file like theirs",
    )
    parser.add_argument("--heads", required=True, type=Path, help="folder of label maps")
    parser.add_argument(
        "--runs", required=True, type=Path, help="folder of trainings and results, made if missing"
    )
    parser.add_argument(
        "--output", type=Path, help="folder of tables and figures; RUNS/results/BUDGET if not given"
    )
    parser.add_argument(
        "--only", nargs="+", choices=driver.methods, metavar="METHOD", help="run these methods alone"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="run these seeds alone; new ones join the budget's"
    )
    parser.add_argument("--no-runs", action="store_true", help="write tables of what there is, train nothing")
    return parser
