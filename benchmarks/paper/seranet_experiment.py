"""The experiment of SERANet's paper: methods, blocks and noise levels on simulated k-space."""

from dataclasses import dataclass
from typing import Any

from kseg.pipelines.segment_settings import SegmentSettings
from paper.budget import Budget
from paper.evaluation import Inference
from paper.experiment import Experiment
from paper.grid import Cell, OtherScan, all_cells, figure5_cell
from paper.plan import Training, cell_fraction, plan_cell
from paper.scans import Scan, simulate_test_heads


@dataclass(frozen=True)
class SeranetExperiment(Experiment):
    """Tables 1 and 2 and figures 5 and 6.

    Attributes:
        budget: what every method gets.
    """

    budget: Budget

    def cells(self) -> list[Cell]:
        """Every cell of the tables and of figure 6."""
        return all_cells(self.grid, self.budget)

    def plan(self, cell: Cell) -> list[Training]:
        """Trainings of a cell, in order."""
        return plan_cell(cell, self.grid.methods[cell.method], self.budget, self.heads)

    def conditions(self, cell: Cell) -> dict[str, Any]:
        """How the test heads are scanned, what is kept of the results, and whether they are averaged."""
        scan = self.scan(cell)
        return {
            "noise": scan.noise,
            "fraction": scan.fraction,
            **({"sequence": dict(scan.sequence)} if scan.sequence else {}),
            "recurrences": cell == figure5_cell(self.budget),
            "flip": self.grid.methods[cell.method].flip,
        }

    def scan(self, cell: Cell) -> Scan:
        """How the test heads of a cell are scanned."""
        other = self.grid.other_scans[cell.scan] if cell.scan else OtherScan("")
        fraction = cell_fraction(self.grid.methods[cell.method], self.budget)
        assert cell.noise is not None
        return Scan(
            noise=cell.noise if other.noise is None else other.noise,
            fraction=fraction if other.fraction is None else other.fraction,
            sequence=other.sequence,
        )

    def inference(self, cell: Cell) -> Inference:
        """The scans of a cell; every pass is kept of the cell of figure 5."""
        told = self.conditions(cell)
        scans = simulate_test_heads(self.heads, self.scan(cell), self.runs)
        return Inference(
            scans=scans / "kspace",
            references=scans / "labels",
            settings=SegmentSettings(probabilities=True, recurrences=told["recurrences"]),
            options={"flip": told["flip"]},
        )
