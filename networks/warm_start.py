"""Initialise a network from trained parts, with every tensor accounted for."""

import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kseg.transforms.errors import InputError, require_file

_STAGE = "load weights"

PathLike = str | os.PathLike[str]


def read_checkpoint(path: PathLike, stage: str = _STAGE) -> dict[str, Any]:
    """Read a file of `torch.save` without executing anything it may carry.

    Args:
        path: file that holds tensors, numbers and text by name.
        stage: the step that wants it, for messages.

    Raises:
        InputError: no such file, a damaged file, or anything but tensors, numbers and text by name.
    """
    require_file(path, stage)
    try:
        # PyTorch itself does not look at the checksums it writes: a flipped bit would become a wrong weight.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(path, stage, "tensors by name", "objects that could run code when read") from error
    except Exception as error:  # torch.load promises no closed set of errors for damaged files
        received = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(path, stage, "an intact file of torch.save", received) from error
    if damaged:
        raise InputError(path, stage, "an intact file of torch.save", f"a wrong checksum of {damaged}")
    if not isinstance(content, dict):
        raise InputError(path, stage, "tensors by name", type(content).__name__)
    return content


def read_weights(path: PathLike) -> dict[str, Tensor]:
    """Read a state dictionary without executing anything it may carry.

    Args:
        path: file written by `torch.save(network.state_dict(), path)`.

    Raises:
        InputError: as `read_checkpoint`; anything but tensors by name.
    """
    state = read_checkpoint(path)
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(path, _STAGE, "tensors by name", f"{name} of type {type(value).__name__}")
    return state


def load_weights(network: nn.Module, path: PathLike) -> None:
    """Load all weights of a network.

    Args:
        network: receives the weights.
        path: file of a state dictionary.

    Raises:
        InputError: as `read_weights`; tensors missing, left over, of another shape, or not finite.
    """
    load_exactly(network, read_weights(path), path)


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
        load_exactly(part, inside or state, path)


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], path: PathLike, stage: str = _STAGE) -> None:
    """Load a state dictionary with every tensor accounted for.

    Args:
        module: receives the tensors.
        state: tensors by name.
        path: where they come from, for messages.
        stage: the step that wants them, for messages.

    Raises:
        InputError: tensors missing, left over, of another shape, or not finite.
    """
    own = module.state_dict()
    missing, left_over = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or left_over:
        received = (
            f"{len(missing)} missing ({_some(missing)}), {len(left_over)} left over ({_some(left_over)})"
        )
        raise InputError(path, stage, f"the {len(own)} tensors of {type(module).__name__}", received)
    for name, value in own.items():
        if state[name].shape != value.shape:
            expected = f"{name} of shape {list(value.shape)}"
            raise InputError(path, stage, expected, f"shape {list(state[name].shape)}")
        if not state[name].isfinite().all():
            raise InputError(path, stage, f"finite values in {name}", "NaN or infinity")
    module.load_state_dict(state)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
