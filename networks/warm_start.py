"""Initialise a network from trained parts, with every tensor accounted for."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from kseg.transforms.errors import InputError

_STAGE = "load weights"

PathLike = str | os.PathLike[str]


def read_weights(path: PathLike) -> dict[str, Tensor]:
    """Read a state dictionary without executing anything it may carry.

    Args:
        path: file written by `torch.save(network.state_dict(), path)`.

    Raises:
        InputError: no such file, a damaged file, or anything but tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, _STAGE, "a file of weights", "no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load promises no closed set of errors for damaged files
        raise InputError(path, _STAGE, "an intact file of tensors", _first_line(error)) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(path, _STAGE, "tensors by name", type(state).__name__)
    return state


def load_weights(network: nn.Module, path: PathLike) -> None:
    """Load all weights of a network.

    Args:
        network: receives the weights.
        path: file of a state dictionary.

    Raises:
        InputError: as `read_weights`; tensors missing, left over, of another shape, or not finite.
    """
    _load_exactly(network, read_weights(path), path)


def warm_start(network: nn.Module, parts: Mapping[str, PathLike]) -> None:
    """Load parts of a network that were trained before: the paper's SERANet-N++.

    Args:
        network: receives the weights; what no part names keeps its own.
        parts: file by the name of a submodule, such as `reconstruction` and `segmenter`. A file holds either the
            state dictionary of that submodule or of a whole network that has a submodule of that name.

    Raises:
        ValueError: the network has no submodule of that name.
        InputError: as `read_weights`; tensors missing, left over, of another shape, or not finite.
    """
    for name, path in parts.items():
        part = dict(network.named_children()).get(name)
        if part is None:
            known = ", ".join(child for child, _ in network.named_children())
            raise ValueError(f"warm start: expected a part among {known}, received {name!r}")
        state = read_weights(path)
        prefix = f"{name}."
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        _load_exactly(part, inside or state, path)


def _load_exactly(module: nn.Module, state: dict[str, Tensor], path: PathLike) -> None:
    own = module.state_dict()
    missing, left_over = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or left_over:
        received = (
            f"{len(missing)} missing ({_some(missing)}), {len(left_over)} left over ({_some(left_over)})"
        )
        raise InputError(path, _STAGE, f"the {len(own)} tensors of {type(module).__name__}", received)
    for name, value in own.items():
        if state[name].shape != value.shape:
            expected = f"{name} of shape {list(value.shape)}"
            raise InputError(path, _STAGE, expected, f"shape {list(state[name].shape)}")
        if not state[name].isfinite().all():
            raise InputError(path, _STAGE, f"finite values in {name}", "NaN or infinity")
    module.load_state_dict(state)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
