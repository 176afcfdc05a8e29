"""The mean of the weights after several epochs, often better than those of any one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kseg.networks.warm_start import PathLike, read_weights
from kseg.transforms.errors import InputError

_STAGE = "average weights"


def mean_weights(paths: Sequence[PathLike]) -> dict[str, Tensor]:
    """Average the weights of one network, those of its normalisations too; counters are those of the last file.

    Args:
        paths: files of state dictionaries, at least one.

    Raises:
        InputError: a file that cannot be read, or weights of another network than those of the first.
        ValueError: no file.

    Reference:
        Izmailov et al. 2018, Averaging weights leads to wider optima and better generalization, Section 3.
    """
    if not paths:
        raise ValueError(f"{_STAGE}: expected at least one file, received none")
    states = [read_weights(path) for path in paths]
    shapes = {name: tuple(value.shape) for name, value in states[0].items()}
    for path, state in zip(paths, states, strict=True):
        other = next((name for name in {**shapes, **state} if _shape(state, name) != shapes.get(name)), None)
        if other is not None:
            expected, received = _told(shapes.get(other)), _told(_shape(state, other))
            raise InputError(path, _STAGE, f"{other} of {paths[0]}, {expected}", received)
    return {name: _mean([state[name] for state in states]) for name in shapes}


def _shape(state: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None


def _told(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else f"shape {shape}"


def _mean(values: Sequence[Tensor]) -> Tensor:
    last = values[-1]
    if not last.is_floating_point():
        return last
    # In double precision, so that the mean of equal weights is these weights.
    return torch.stack([value.double() for value in values]).mean(0).to(last.dtype)
