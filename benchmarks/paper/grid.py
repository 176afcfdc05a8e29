"""The cells of the experiment: which method, block, noise and seed, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from paper.budget import Budget

TYPES = {"cascade": "A", "autoencoder": "B"}
"""The paper's name of each kind of reconstruction block."""

_DEFINITION = Path(__file__).with_name("grid.yaml")


@dataclass(frozen=True)
class Stage:
    """A training that a method needs.

    Attributes:
        name: name among the stages of the method.
        configs: files of the bundle's `configs/methods`, without ending, the later over the earlier.
        share: of the method's epochs, relative to its other stages.
        options: what differs from the configuration.
        warm_start: earlier stage that each part of the network starts from.
    """

    name: str
    configs: tuple[str, ...]
    share: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    warm_start: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Attributes:
        name: key of the method.
        title: name of the row.
        stages: its trainings, in order.
        headline: every seed is run, not only the first.
        reconstructs: has reconstruction blocks, so there is a row for each kind of them.
        figure6: is drawn there.
        fraction: share of lines; None for that of the budget.
        blocks: kinds of block it is run with; None for all of the budget.
        beyond: not a method of the paper; it is run at the first noise level alone.
        flip: the evaluation averages with the mirrored scan.
        scans: other scans that its networks are tested on as well.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    headline: bool = False
    reconstructs: bool = False
    figure6: bool = False
    fraction: float | None = None
    blocks: tuple[str, ...] | None = None
    beyond: bool = False
    flip: bool = False
    scans: tuple[str, ...] = ()


@dataclass(frozen=True)
class OtherScan:
    """Scans of the test heads that differ from those of the tables; None where they do not.

    Attributes:
        title: how they differ, in words.
        noise: noise level.
        fraction: share of lines.
        sequence: `name` of the pulse sequence and its times.
    """

    title: str
    noise: float | None = None
    fraction: float | None = None
    sequence: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """One trained and evaluated network.

    Attributes:
        method: key of the method.
        block: kind of reconstruction block, or None where there is none.
        n_blocks: number of reconstruction blocks, 0 where there is none.
        noise: noise level of training and test, or None where it is not part of the experiment.
        seed: seed of weights and data.
        scan: key of the other scans that it is tested on; None for those of the tables.
    """

    method: str
    block: str | None = None
    n_blocks: int = 0
    noise: float | None = None
    seed: int = 0
    scan: str | None = None

    @property
    def name(self) -> str:
        """Name of the cell and of its folder.

        Example:
            >>> Cell("joint", "cascade", 3, 0.1, 0).name
            'joint-cascade_3-noise_0.1-seed_0'
            >>> Cell("rsa_101", seed=2).name
            'rsa_101-seed_2'
            >>> Cell("joint", "cascade", 3, 0.1, 0, scan="few_lines").name
            'joint-cascade_3-noise_0.1-seed_0-on_few_lines'
        """
        block = f"-{self.block}_{self.n_blocks}" if self.block else ""
        noise = "" if self.noise is None else f"-noise_{self.noise:g}"
        scan = f"-on_{self.scan}" if self.scan else ""
        return f"{self.method}{block}{noise}-seed_{self.seed}{scan}"


@dataclass(frozen=True)
class Grid:
    """The whole experiment.

    Attributes:
        methods: rows by key, in the order of the tables.
        comparisons: pairs of rows whose order is judged.
        paper_dice: average Dice that SERANet's paper printed, by method, block (or `none`) and noise level.
        printed: numbers that RSANet's paper printed, by method and name of the number.
        other_scans: by key, in the order of the columns.
    """

    methods: Mapping[str, Method]
    comparisons: Sequence[tuple[str, str]]
    paper_dice: Mapping[str, Mapping[str, Mapping[float, float]]] = field(default_factory=dict)
    printed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    other_scans: Mapping[str, OtherScan] = field(default_factory=dict)


def load_grid(path: Path = _DEFINITION) -> Grid:
    """Read the definition of the experiment.

    Args:
        path: YAML like `grid.yaml` and `rsanet.yaml`.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    methods = {}
    for name, entry in content["methods"].items():
        stages = tuple(Stage(**{**stage, "configs": tuple(stage["configs"])}) for stage in entry["stages"])
        blocks = tuple(entry["blocks"]) if "blocks" in entry else None
        scans = tuple(entry.get("scans", ()))
        told = {**entry, "name": name, "stages": stages, "blocks": blocks, "scans": scans}
        methods[name] = Method(**told)
    comparisons = [(left, right) for left, right in content["comparisons"]]
    others = {name: OtherScan(**entry) for name, entry in content.get("other_scans", {}).items()}
    return Grid(methods, comparisons, content.get("paper_dice", {}), content.get("printed", {}), others)


def table_cells(method: Method, noise: float, budget: Budget) -> dict[str | None, list[Cell]]:
    """Cells of a method in the table of a noise level: those of all its seeds, by kind of block."""
    if method.beyond and noise != budget.noises[0]:
        return {}
    seeds = budget.seeds if method.headline else budget.seeds[:1]
    if not method.reconstructs:
        return {None: [Cell(method.name, None, 0, noise, seed) for seed in seeds]}
    blocks = [block for block in budget.blocks if method.blocks is None or block in method.blocks]
    return {
        block: [Cell(method.name, block, budget.n_blocks, noise, seed) for seed in seeds] for block in blocks
    }


def figure6_cells(method: Method, budget: Budget) -> dict[str, list[Cell]]:
    """Cells of a method in figure 6, by kind of block: the first noise level and seed, every number of blocks."""
    if not method.figure6:
        return {}
    noise, seed = budget.noises[0], budget.seeds[0]
    return {
        block: [Cell(method.name, block, number, noise, seed) for number in budget.figure6_blocks]
        for block in budget.blocks
    }


def scan_cells(method: Method, scan: str | None, budget: Budget) -> list[Cell]:
    """Cells of a method on other scans: the first noise level and kind of block, every seed of the row.

    Args:
        method: the method.
        scan: key of the scans; None for those of the table.
        budget: noise levels, blocks and seeds.
    """
    if scan is not None and scan not in method.scans:
        return []
    cells = table_cells(method, budget.noises[0], budget)
    return [replace(cell, scan=scan) for cell in next(iter(cells.values()), [])]


def figure5_cell(budget: Budget) -> Cell:
    """The cell whose probability maps are shown."""
    return Cell("seranet_3", budget.blocks[0], budget.n_blocks, budget.noises[0], budget.seeds[0])


def all_cells(grid: Grid, budget: Budget) -> list[Cell]:
    """Every cell once, in the order of work: headline rows and the first seed first, other scans later."""
    ranked: dict[Cell, tuple[int, int]] = {}
    for method in grid.methods.values():
        for noise in budget.noises:
            for cells in table_cells(method, noise, budget).values():
                for number, cell in enumerate(cells):
                    ranked[cell] = (number + 1 if method.beyond else number, 0 if method.headline else 1)
        for scan in method.scans:
            for cell in scan_cells(method, scan, budget):
                first, _ = ranked[replace(cell, scan=None)]
                ranked[cell] = (first + 1, 1)
    for method in grid.methods.values():
        for cells in figure6_cells(method, budget).values():
            for cell in cells:
                ranked.setdefault(cell, (0, 2))
    return sorted(ranked, key=lambda cell: (*ranked[cell], cell.noise))
