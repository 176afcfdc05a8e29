"""How much a run of RSANet's experiment may cost: crops and patients, the same for every method."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kseg.transforms.errors import InputError
from paper.budget import COUNT, OF_TRAINING, read_budget

_SHIPPED = Path(__file__).with_name("rsanet_budgets")
_SCHEMA = {
    **OF_TRAINING,
    "crops": COUNT,
    "crop": {"type": "array", "items": COUNT, "minItems": 3, "maxItems": 3},
    "patients": COUNT,
}


@dataclass(frozen=True)
class RsanetBudget:
    """What every method gets.

    Attributes:
        name: name of the budget.
        chosen: what of it was chosen by results on the test heads, as its pages tell; empty if nothing.
        epochs: of a training; in each, every training head is one patient, a new one each time.
        crops: crops of each patient; a multiple of the batch size, for several steps, or a divisor.
        crop: size of a crop and of the sliding window, `(slice, y, x)` voxels.
        train_heads: number of training heads, the first by name; None for all that are no test heads.
        test_heads: number of test heads, the last by name.
        patients: simulated patients of each test head.
        batch_size: crops of a step.
        learning_rate: of Adam at the beginning.
        halve_after: the learning rate is halved each time this share of the epochs is over; 1 leaves it as it is.
        precision: of the forward pass in training, `float32` or `bfloat16`.
        compile: train a network that `torch.compile` has compiled.
        num_workers: processes that simulate patients.
        sizes: further arguments of every network.
        seeds: of weights and data, one cell each.
    """

    name: str
    chosen: str
    epochs: int
    crops: int
    crop: tuple[int, ...]
    train_heads: int | None
    test_heads: int
    patients: int
    batch_size: int
    learning_rate: float
    halve_after: float
    precision: str
    compile: bool
    num_workers: int
    sizes: Mapping[str, Any]
    seeds: tuple[int, ...]

    def crops_seen(self, n_heads: int) -> int:
        """Crops that a training on so many heads takes its steps on."""
        return self.epochs * self.crops * n_heads


def load_rsanet_budget(name_or_path: str) -> RsanetBudget:
    """Read a budget.

    Args:
        name_or_path: `smoke`, `cpu` or `gpu`, or a YAML file like theirs.

    Raises:
        InputError: no such budget, or values that are missing, unknown or of the wrong kind.
    """
    path, content = read_budget(name_or_path, _SHIPPED, _SCHEMA)
    if content["batch_size"] % content["crops"] and content["crops"] % content["batch_size"]:
        expected = f"crops that divide the batch size {content['batch_size']} or are a multiple of it"
        raise InputError(path, "read budget", expected, str(content["crops"]))
    return RsanetBudget(path.stem, **content)
