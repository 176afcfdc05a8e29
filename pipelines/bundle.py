"""Bundles: where they are, their network, their weights."""

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

from kseg.transforms.errors import InputError


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
        raise InputError(path, "read bundle", "configs/inference.json in the bundle root", "no such file")
    definition = ConfigParser.load_config_file(path).get("network_def")
    if not isinstance(definition, dict):
        raise InputError(path, "read bundle", "a network_def", str(definition))
    network = ConfigParser({"network": {**definition, **(overrides or {})}}).get_parsed_content("network")
    assert isinstance(network, nn.Module)
    return network
