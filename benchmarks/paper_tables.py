"""The paper's experiment: train and evaluate every method under one budget, write its tables and figures.

Usage: python benchmarks/paper_tables.py --budget cpu --heads HEADS --runs RUNS

HEADS holds label maps with FreeSurfer codes; the last by name are the test heads. RUNS keeps what is finished, so the
same command goes on where it was stopped, and further seeds or methods cost only themselves. A cell that fails is
named, in the tables too, and the others go on; remove a damaged folder to have it made again.

Exit codes: 0 all cells done; 1 a cell or a figure is missing, each named; 2 wrong usage.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from paper.budget import Budget, load_budget, split_heads
from paper.driver import Driver, drive
from paper.grid import Cell, figure5_cell, load_grid
from paper.pages import write_results
from paper.seranet_experiment import SeranetExperiment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment and return the exit code."""
    grid = load_grid()

    def prepare(budget: Budget, heads: Path, runs: Path) -> SeranetExperiment:
        return SeranetExperiment(grid, split_heads(heads, budget), runs, budget)

    # Figure 6 is drawn with gaps; figure 5 has one cell, which may not be of those that were asked for.
    def shows_figure5(experiment: SeranetExperiment, selected: Sequence[Cell]) -> bool:
        return figure5_cell(experiment.budget) in selected

    driver = Driver(__doc__ or "", grid.methods, load_budget, prepare, write_results, shows_figure5)
    return drive(driver, arguments)


if __name__ == "__main__":
    sys.exit(main())
