"""The trainings of a cell: stages with everything that decides their result, under one budget for all methods."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kseg.pipelines.bundle_folder import find_bundle
from paper.budget import Budget, Heads
from paper.grid import Cell, Method
from paper.records import short_digest

BUNDLE = "brain_kspace_segmentation"

_SEED_STEP = 1000
"""Between the seeds of a method's stages: so each stage sees new slices, as one long training does."""


@dataclass(frozen=True, eq=False)
class Training:
    """A stage of a cell; cells whose stages agree in everything share it.

    Attributes:
        name: what it is, and a digest of everything that decides its result; name of its folder.
        bundle: name of the bundle that is trained.
        configs: files of the bundle's `configs/methods`, without ending, the later over the earlier.
        arguments: top-level keys of the configuration, without paths.
        train: label maps that it learns from.
        warm_start: training that each part of the network starts from.
        unit: what its steps are taken on, `slices` or `crops`.
        seen: how many of them.
        unused: keys that a configuration wants for a validation that never runs.
    """

    name: str
    bundle: str
    configs: tuple[str, ...]
    arguments: dict[str, Any]
    train: tuple[Path, ...]
    warm_start: dict[str, "Training"]
    unit: str
    seen: int
    unused: Mapping[str, Any]


def configuration_files(bundle: str, configs: Sequence[str]) -> list[Path]:
    """The configuration files of a training, the later one over the earlier.

    Args:
        bundle: name of the bundle.
        configs: as in `Training`.
    """
    folder = find_bundle(bundle) / "configs"
    return [folder / "train.json", *(folder / "methods" / f"{name}.json" for name in configs)]


def read_configuration(bundle: str, configs: Sequence[str]) -> list[Any]:
    """What a bundle itself says of a training: its configuration files, and the network that they start from.

    Args:
        bundle: name of the bundle.
        configs: as in `Training`.
    """
    files = [json.loads(path.read_text(encoding="utf-8")) for path in configuration_files(bundle, configs)]
    inference = json.loads((find_bundle(bundle) / "configs" / "inference.json").read_text(encoding="utf-8"))
    return [*files, inference["network_def"]]


def seen_key(unit: str) -> str:
    """Under which name a record tells how much a training saw.

    Example:
        >>> seen_key("slices")
        'slices_seen'
    """
    return f"{unit}_seen"


def plan_cell(cell: Cell, method: Method, budget: Budget, heads: Heads) -> list[Training]:
    """List the trainings of a cell in their order; the last one makes the network that is evaluated.

    Args:
        cell: the cell.
        method: its method.
        budget: what every method gets.
        heads: label maps.
    """
    planned: dict[str, Training] = {}
    epochs = share_epochs(budget.epochs, [stage.share for stage in method.stages])
    for position, (stage, count) in enumerate(zip(method.stages, epochs, strict=True)):
        arguments: dict[str, Any] = {
            "seed": cell.seed + _SEED_STEP * position,
            "epochs": count,
            "halve_every": halving_interval(budget.halve_after, count),
            "learning_rate": budget.learning_rate,
            "batch_size": budget.batch_size,
            "precision": budget.precision,
            "compile": budget.compile,
            "slices": list(budget.slices),
            "slice_jitter": budget.slice_jitter,
            "noise": [cell.noise, cell.noise],
            "fraction": cell_fraction(method, budget),
            "other_probability": 0.0,
            "sizes": {**budget.sizes, **(budget.reconstruction_sizes if cell.block else {})},
            **({"block": cell.block, "n_blocks": cell.n_blocks} if cell.block else {}),
            **stage.options,
        }
        parts = {part: planned[earlier] for part, earlier in stage.warm_start.items()}
        decisive = {
            "configs": stage.configs,
            "configuration": read_configuration(BUNDLE, stage.configs),
            "arguments": arguments,
            "heads": heads.contents(heads.train),
            "warm_start": {part: training.name for part, training in parts.items()},
        }
        # A stage with noise levels of its own is one and the same in every table.
        noise = None if "noise" in stage.options else cell.noise
        name = Cell(stage.name, cell.block, cell.n_blocks, noise, cell.seed).name
        planned[stage.name] = Training(
            name=f"{name}-{short_digest(decisive)}",
            bundle=BUNDLE,
            configs=stage.configs,
            arguments=arguments,
            train=heads.train,
            warm_start=parts,
            unit="slices",
            seen=count * len(budget.slices) * len(heads.train),
            unused={"validation_slices": [0]},
        )
    return list(planned.values())


def cell_fraction(method: Method, budget: Budget) -> float:
    """Share of lines that a method gets to see."""
    return budget.fraction if method.fraction is None else method.fraction


def halving_interval(share: float, epochs: int) -> float:
    """After how many epochs the learning rate is halved, to a hundredth of one: the same share of every stage.

    Args:
        share: of the epochs of a stage.
        epochs: of the stage.

    Example:
        >>> halving_interval(0.4, 50), halving_interval(0.4, 1)
        (20.0, 0.4)
    """
    return round(share * epochs, 2)


def share_epochs(epochs: int, shares: Sequence[int]) -> list[int]:
    """Divide the epochs of a method among its stages.

    Args:
        epochs: of the whole method.
        shares: of each stage, relative to the others.

    Raises:
        ValueError: a stage without an epoch.

    Example:
        >>> share_epochs(50, [1, 2]), share_epochs(50, [1, 1, 1])
        ([17, 33], [17, 16, 17])
    """
    ends = [round(epochs * sum(shares[: number + 1]) / sum(shares)) for number in range(len(shares))]
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if min(counts) < 1:
        raise ValueError(
            f"budget: expected an epoch for each of {len(shares)} stages, received {epochs} epochs"
        )
    return counts
