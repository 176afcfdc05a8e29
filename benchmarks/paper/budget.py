"""How much a run may cost: sizes, epochs and slices, the same for every method."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import yaml

from kseg.transforms.errors import InputError, require_file

_STAGE = "read budget"
_SHIPPED = Path(__file__).with_name("budgets")
_SLICES_OF_A_SCAN = 57


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        name: name of the budget.
        epochs: of a whole method; the stages of one that has several share them.
        slices: slices of each training head that an epoch shows.
        train_heads: number of training heads, the first by name; None for all that are no test heads.
        test_heads: number of test heads, the last by name.
        batch_size: slices of a step.
        learning_rate: of Adam at the beginning of each stage.
        halve_after: the learning rate is halved each time this share of the epochs of a stage is over.
        precision: of the forward pass in training, `float32` or `bfloat16`.
        num_workers: processes that simulate slices.
        n_blocks: reconstruction blocks in the tables.
        sizes: further arguments of every network.
        reconstruction_sizes: further arguments of every network that reconstructs.
        fraction: share of lines that are sampled, in training and test.
        noises: noise levels, one table each.
        blocks: kinds of reconstruction block: `cascade` is the paper's type A, `autoencoder` its type B.
        seeds: the first is that of all rows, all are those of the headline rows.
        figure6_blocks: numbers of reconstruction blocks in figure 6.
    """

    name: str
    epochs: int
    slices: tuple[int, ...]
    train_heads: int | None
    test_heads: int
    batch_size: int
    learning_rate: float
    halve_after: float
    precision: str
    num_workers: int
    n_blocks: int
    sizes: Mapping[str, Any]
    reconstruction_sizes: Mapping[str, Any]
    fraction: float
    noises: tuple[float, ...]
    blocks: tuple[str, ...]
    seeds: tuple[int, ...]
    figure6_blocks: tuple[int, ...]


@dataclass(frozen=True)
class Heads:
    """The label maps of an experiment.

    Attributes:
        train: heads that networks learn from.
        test: heads that they are evaluated on, never seen in training.
    """

    train: tuple[Path, ...]
    test: tuple[Path, ...]


def load_budget(name_or_path: str) -> Budget:
    """Read a budget.

    Args:
        name_or_path: `smoke`, `cpu` or `gpu`, or a YAML file like theirs.

    Raises:
        InputError: no such budget, or values that are missing, unknown or of the wrong kind.
    """
    lists = ("noises", "blocks", "seeds", "figure6_blocks")
    path, content = read_budget(name_or_path, _SHIPPED, Budget, lists)
    slices = content["slices"] or list(range(_SLICES_OF_A_SCAN))
    if not isinstance(slices, list):
        raise InputError(path, _STAGE, "a list of slices", str(slices))
    return Budget(name=path.stem, **{**content, "slices": tuple(slices)})


def read_budget(
    name_or_path: str, shipped: Path, kind: type, lists: tuple[str, ...]
) -> tuple[Path, dict[str, Any]]:
    """Read the values of a budget of some kind.

    Args:
        name_or_path: name of one that ships, or a YAML file like them.
        shipped: folder of those that ship.
        kind: dataclass of `name` and the values.
        lists: values that are lists, `seeds` among them; they become tuples.

    Returns:
        The file, and its values.

    Raises:
        InputError: no such budget, or values that are missing, unknown or of the wrong kind.
    """
    path = shipped / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(name_or_path)
    require_file(path, _STAGE)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, _STAGE, "YAML", str(error)) from error
    names = {field.name for field in fields(kind)} - {"name"}
    if not isinstance(content, dict) or content.keys() != names:
        received = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(path, _STAGE, f"the keys {', '.join(sorted(names))}", str(received))
    for name in lists:
        if not isinstance(content[name], list):
            raise InputError(path, _STAGE, f"a list of {name}", str(content[name]))
        content[name] = tuple(content[name])
    if not content["seeds"]:
        raise InputError(path, _STAGE, "at least one seed", "none")
    return path, content


class Split(Protocol):
    """How many heads a budget uses."""

    @property
    def train_heads(self) -> int | None:
        """Number of training heads, the first by name; None for all that are no test heads."""

    @property
    def test_heads(self) -> int:
        """Number of test heads, the last by name."""


def split_heads(folder: Path, budget: Split) -> Heads:
    """Divide the label maps of a folder into training and test heads, by name.

    Args:
        folder: holds the label maps, `NAME.nii` or `NAME.nii.gz`.
        budget: how many are used.

    Raises:
        InputError: too few label maps.
    """
    found = sorted(path for path in folder.glob("*.nii*") if path.name.endswith((".nii", ".nii.gz")))
    needed = (budget.train_heads or 1) + budget.test_heads
    if len(found) < needed:
        raise InputError(folder, "find heads", f"at least {needed} label maps", str(len(found)))
    others = found[: -budget.test_heads]
    return Heads(tuple(others[: budget.train_heads]), tuple(found[-budget.test_heads :]))
