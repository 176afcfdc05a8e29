"""Table 1 of RSANet's paper on simulated patients: every network under one budget.

Usage: python benchmarks/rsanet.py --budget cpu --heads HEADS --runs RUNS

HEADS holds label maps with FreeSurfer codes; the last by name are the test heads, of which patients are simulated
once for all networks. RUNS keeps what is finished, so the same command goes on where it was stopped, and further
seeds or methods cost only themselves. A cell that fails is named, in the table too, and the others go on; remove a
damaged folder to have it made again. Writes rsanet.md, rsanet.csv, rsanet_cells.csv and
rsanet_cases.csv.

Exit codes: 0 all cells done; 1 a cell is missing, each named; 2 wrong usage.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from paper.budget import split_heads
from paper.driver import Driver, drive
from paper.grid import load_grid
from paper.rsanet_budget import RsanetBudget, load_rsanet_budget
from paper.rsanet_experiment import RsanetExperiment
from paper.rsanet_pages import write_rsanet_results

_GRID = Path(__file__).with_name("paper") / "rsanet.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment and return the exit code."""
    grid = load_grid(_GRID)

    def prepare(budget: RsanetBudget, heads: Path, runs: Path) -> RsanetExperiment:
        return RsanetExperiment(grid, split_heads(heads, budget), runs, budget)

    return drive(
        Driver(__doc__ or "", grid.methods, load_rsanet_budget, prepare, write_rsanet_results), arguments
    )


if __name__ == "__main__":
    sys.exit(main())
