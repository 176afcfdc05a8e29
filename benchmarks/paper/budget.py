"""How much a run may cost: sizes, epochs and slices, the same for every method."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from jsonschema import Draft202012Validator

from kseg.pipelines.digest import file_sha256
from kseg.transforms.errors import InputError, require_file

Schema = dict[str, Any]

_STAGE = "read budget"
_SHIPPED = Path(__file__).with_name("budgets")
_SLICES_OF_A_SCAN = 57

COUNT: Schema = {"type": "integer", "minimum": 1}
SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
ARGUMENTS: Schema = {"type": "object"}


def some(item: Schema) -> Schema:
    """At least one of something."""
    return {"type": "array", "items": item, "minItems": 1}


OF_TRAINING: Schema = {
    "chosen": {"type": "string"},
    "epochs": COUNT,
    "train_heads": {"type": ["integer", "null"], "minimum": 1},
    "test_heads": COUNT,
    "batch_size": COUNT,
    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
    "halve_after": SHARE,
    "precision": {"enum": ["float32", "bfloat16"]},
    "compile": {"type": "boolean"},
    "num_workers": {"type": "integer", "minimum": 0},
    "sizes": ARGUMENTS,
    "seeds": some({"type": "integer", "minimum": 0}),
}
"""What the values of every kind of budget are (JSON Schema)."""

_SLICE: Schema = {"type": "integer", "minimum": 0, "maximum": _SLICES_OF_A_SCAN - 1}
_SCHEMA: Schema = {
    **OF_TRAINING,
    "slices": {"type": ["array", "null"], "items": _SLICE, "minItems": 1},
    "slice_jitter": {"type": "number", "minimum": 0},
    "n_blocks": COUNT,
    "reconstruction_sizes": ARGUMENTS,
    "fraction": SHARE,
    "noises": some({"type": "number", "minimum": 0}),
    "blocks": some({"enum": ["cascade", "autoencoder"]}),
    "figure6_blocks": some(COUNT),
}


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        name: name of the budget.
        chosen: what of it was chosen by results on the test heads, as its pages tell; empty if nothing.
        epochs: of a whole method; the stages of one that has several share them.
        slices: slices of each training head that an epoch shows.
        slice_jitter: how far from there they may lie, in slices.
        train_heads: number of training heads, the first by name; None for all that are no test heads.
        test_heads: number of test heads, the last by name.
        batch_size: slices of a step.
        learning_rate: of Adam at the beginning of each stage.
        halve_after: the learning rate is halved each time this share of the epochs of a stage is over.
        precision: of the forward pass in training, `float32` or `bfloat16`.
        compile: train a network that `torch.compile` has compiled.
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
    chosen: str
    epochs: int
    slices: tuple[int, ...]
    slice_jitter: float
    train_heads: int | None
    test_heads: int
    batch_size: int
    learning_rate: float
    halve_after: float
    precision: str
    compile: bool
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
        sha256: digest of each file by its name.
    """

    train: tuple[Path, ...]
    test: tuple[Path, ...]
    sha256: Mapping[str, str]

    def contents(self, heads: Sequence[Path]) -> list[tuple[str, str]]:
        """Name and digest of some of the heads: what says whether others are the same, wherever they lie."""
        return [(path.name, self.sha256[path.name]) for path in heads]


def load_budget(name_or_path: str) -> Budget:
    """Read a budget.

    Args:
        name_or_path: `smoke`, `cpu`, `cpu_long` or `gpu`, or a YAML file like theirs.

    Raises:
        InputError: no such budget, or values that are missing, unknown or of the wrong kind.
    """
    path, content = read_budget(name_or_path, _SHIPPED, _SCHEMA)
    return Budget(path.stem, **{**content, "slices": content["slices"] or tuple(range(_SLICES_OF_A_SCAN))})


def read_budget(name_or_path: str, shipped: Path, schema: Schema) -> tuple[Path, dict[str, Any]]:
    """Read the values of a budget of some kind.

    Args:
        name_or_path: name of one that ships, or a YAML file like them.
        shipped: folder of those that ship.
        schema: what each value is (JSON Schema); all are needed.

    Returns:
        The file, and its values; lists become tuples.

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
    if not isinstance(content, dict) or content.keys() != schema.keys():
        received = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(path, _STAGE, f"the keys {', '.join(sorted(schema))}", str(received))
    for name, value in content.items():
        wrong = next(Draft202012Validator(schema[name]).iter_errors(value), None)
        if wrong is not None:
            raise InputError(path, _STAGE, f"{name}: {_told(schema[name])}", f"{value} ({wrong.message})")
    return path, {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def _told(schema: Schema) -> str:
    return json.dumps(schema).replace('"', "")


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
    train, test = found[: -budget.test_heads][: budget.train_heads], found[-budget.test_heads :]
    return Heads(tuple(train), tuple(test), {path.name: file_sha256(path) for path in (*train, *test)})
