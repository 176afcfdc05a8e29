"""The paper's experiment: train and evaluate every method under one budget, write its tables and figures.

Usage: python benchmarks/paper_tables.py --budget cpu --heads HEADS --runs RUNS

HEADS holds label maps with FreeSurfer codes; the last by name are the test heads. RUNS keeps what is finished, so the
same command goes on where it was stopped, and further seeds or methods cost only themselves. A cell that fails is
named, in the tables too, and the others go on; remove a damaged folder to have it made again.

Exit codes: 0 all cells done; 1 a cell or a figure is missing, each named; 2 wrong usage.
"""

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from paper.budget import load_budget, split_heads
from paper.experiment import Experiment, read_cells, run_cells
from paper.grid import all_cells, figure5_cell, load_grid
from paper.pages import write_results

from kseg.transforms.errors import InputError

_RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment and return the exit code."""
    grid = load_grid()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", required=True, help="smoke, cpu, gpu, or a YAML file like theirs")
    parser.add_argument("--heads", required=True, type=Path, help="folder of label maps")
    parser.add_argument(
        "--runs", required=True, type=Path, help="folder of trainings and results, made if missing"
    )
    parser.add_argument("--output", default=_RESULTS, type=Path, help="folder of tables and figures")
    parser.add_argument(
        "--only", nargs="+", choices=grid.methods, metavar="METHOD", help="run these methods alone"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="run these seeds alone; new ones join the budget's"
    )
    parser.add_argument("--no-runs", action="store_true", help="write tables of what there is, train nothing")
    chosen = parser.parse_args(arguments)
    try:
        budget = load_budget(chosen.budget)
        seeds = dict.fromkeys((*budget.seeds, *(chosen.seeds or ())))
        budget = dataclasses.replace(budget, seeds=tuple(seeds))
        heads = split_heads(chosen.heads, budget)
    except InputError as error:
        parser.error(str(error))
    experiment = Experiment(grid, budget, heads, chosen.runs)
    cells = all_cells(grid, budget)
    methods, wanted = chosen.only or list(grid.methods), chosen.seeds or budget.seeds
    selected = [cell for cell in cells if cell.method in methods and cell.seed in wanted]
    if not chosen.no_runs:
        # A scheduler's signal ends the training in progress, which saves where it stands.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        run_cells(experiment, selected)
        signal.signal(signal.SIGTERM, before)
    outcomes = read_cells(experiment, cells)
    undrawn = write_results(experiment, outcomes, chosen.output)
    missing = [outcomes[cell] for cell in selected if outcomes[cell].missing]
    for outcome in missing:
        print(f"{outcome.cell.name}: missing: {outcome.missing}", file=sys.stderr)
    for line in undrawn:
        print(line, file=sys.stderr)
    print(f"{len(selected) - len(missing)} of {len(selected)} cells done; results in {chosen.output}")
    # Figure 6 is drawn with gaps; figure 5 has one cell, which may not be of those that were asked for.
    return 1 if missing or (undrawn and figure5_cell(budget) in selected) else 0


if __name__ == "__main__":
    sys.exit(main())
