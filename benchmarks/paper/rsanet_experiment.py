"""The experiment of RSANet's paper: one network with different attention on simulated patients."""

from dataclasses import dataclass
from typing import Any

from kseg.pipelines.metrics_lesions import LesionRule
from kseg.pipelines.segment_settings import SegmentSettings
from paper.evaluation import Inference
from paper.experiment import Experiment
from paper.grid import Cell
from paper.patients import simulate_test_patients
from paper.plan import Training, halving_interval, read_configuration
from paper.records import short_digest
from paper.rsanet_budget import RsanetBudget

BUNDLE = "ms_lesion_segmentation"
LESION = "lesion"
"""Name of the class, as the bundle has it."""


@dataclass(frozen=True)
class RsanetExperiment(Experiment):
    """Table 1.

    Attributes:
        budget: what every method gets.
    """

    budget: RsanetBudget

    def cells(self) -> list[Cell]:
        """Every method with every seed, the first seed of all methods first."""
        return [Cell(name, seed=seed) for seed in self.budget.seeds for name in self.grid.methods]

    def plan(self, cell: Cell) -> list[Training]:
        """The one training of a cell.

        Patients, crops and their order follow from the seed alone, so all methods see the same.
        """
        budget = self.budget
        (stage,) = self.grid.methods[cell.method].stages
        arguments: dict[str, Any] = {
            "seed": cell.seed,
            "epochs": budget.epochs,
            "crops": budget.crops,
            "crop": list(budget.crop),
            "batch_size": budget.batch_size,
            "learning_rate": budget.learning_rate,
            "halve_every": halving_interval(budget.halve_after, budget.epochs),
            "precision": budget.precision,
            "compile": budget.compile,
            "sizes": dict(budget.sizes),
            **stage.options,
        }
        decisive = {
            "bundle": BUNDLE,
            "configs": stage.configs,
            "configuration": read_configuration(BUNDLE, stage.configs),
            "arguments": arguments,
            "heads": self.heads.contents(self.heads.train),
        }
        return [
            Training(
                name=f"{cell.name}-{short_digest(decisive)}",
                bundle=BUNDLE,
                configs=stage.configs,
                arguments=arguments,
                train=self.heads.train,
                warm_start={},
                unit="crops",
                seen=budget.crops_seen(len(self.heads.train)),
                unused={},
            )
        ]

    def conditions(self, cell: Cell) -> dict[str, Any]:
        """Number of patients, and the window."""
        return {"patients": self.budget.patients, "window": list(self.budget.crop)}

    def inference(self, cell: Cell) -> Inference:
        """The patients of the test heads, the same for every cell."""
        patients = simulate_test_patients(self.heads, self.budget.patients, self.runs)
        return Inference(
            scans=patients / "images",
            references=patients / "labels",
            settings=SegmentSettings(),
            options={"window": self.conditions(cell)["window"]},
            lesions=LesionRule((LESION,)),
        )
