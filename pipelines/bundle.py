"""Bundles: where they are, their network, their weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

import kseg.bundles
from kseg.networks.warm_start import load_weights
from kseg.transforms.errors import InputError

_STAGE = "read bundle"


@dataclass(frozen=True)
class LoadedBundle:
    """A network with its trained weights.

    Attributes:
        name: name of the bundle's folder.
        version: version of the bundle.
        network: the network, in evaluation mode.
        weights_sha256: digest of the file of weights.
    """

    name: str
    version: str
    network: nn.Module
    weights_sha256: str


def find_bundle(name_or_path: str) -> Path:
    """Find a bundle.

    Args:
        name_or_path: name of a bundle that ships with kseg, or the path of a bundle's folder.

    Raises:
        InputError: neither.

    Example:
        >>> find_bundle("brain_kspace_segmentation").name
        'brain_kspace_segmentation'
    """
    shipped = Path(kseg.bundles.__path__[0])
    for candidate in (shipped / name_or_path, Path(name_or_path)):
        if (candidate / "configs").is_dir():
            return candidate
    names = ", ".join(sorted(folder.parent.name for folder in shipped.glob("*/configs")))
    raise InputError(name_or_path, _STAGE, f"one of {names} or the folder of a bundle", "neither")


def load_bundle(name_or_path: str) -> LoadedBundle:
    """Load the network of a bundle with its weights, `models/model.pt`.

    Args:
        name_or_path: see `find_bundle`.

    Raises:
        InputError: no such bundle, a configuration without a network, or weights that are missing, damaged or
            not those of the network.
    """
    root = find_bundle(name_or_path)
    network = build_network(str(root))
    weights = root / "models" / "model.pt"
    load_weights(network, weights)
    metadata = root / "configs" / "metadata.json"
    if not metadata.is_file():
        raise InputError(metadata, _STAGE, "configs/metadata.json in the bundle", "no such file")
    return LoadedBundle(
        name=root.resolve().name,
        version=str(ConfigParser.load_config_file(metadata).get("version", "unknown")),
        network=network.eval(),
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )


def build_network(bundle_root: str, overrides: dict[str, Any] | None = None) -> nn.Module:
    """Make the network that a bundle's inference configuration defines, with random weights.

    Args:
        bundle_root: folder of the bundle.
        overrides: arguments that differ, such as `{"n_recurrences": 0}`.

    Raises:
        InputError: no inference configuration, or one without a network.
    """
    path = Path(bundle_root) / "configs" / "inference.json"
    if not path.is_file():
        raise InputError(path, _STAGE, "configs/inference.json in the bundle root", "no such file")
    definition = ConfigParser.load_config_file(path).get("network_def")
    if not isinstance(definition, dict):
        raise InputError(path, _STAGE, "a network_def", str(definition))
    network = ConfigParser({"network": {**definition, **(overrides or {})}}).get_parsed_content("network")
    if not isinstance(network, nn.Module):
        raise InputError(path, _STAGE, "a network_def that makes a network", type(network).__name__)
    return network
