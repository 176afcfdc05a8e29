"""The network of a bundle, with drawn or with trained weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from kseg.networks.warm_start import load_weights
from kseg.pipelines.bundle_check import STAGE, require_trusted
from kseg.pipelines.bundle_folder import find_bundle, weights_file
from kseg.pipelines.config_check import check_config
from kseg.pipelines.config_content import build_content
from kseg.pipelines.config_file import read_config
from kseg.transforms.errors import InputError

_STAGE = "read bundle"
_NETWORK = "a network_def that makes a network"


def load_network(name_or_path: str, *, trust: bool = False) -> nn.Module:
    """Load the network of a bundle with its trained weights, in evaluation mode.

    Args:
        name_or_path: see `find_bundle`.
        trust: take a bundle that `check_bundle` refuses, and run whatever code it names.

    Raises:
        InputError: no such bundle, one that is refused, a configuration that is missing or makes no network, or
            weights that are missing, damaged or not those of the network.
    """
    root = find_bundle(name_or_path)
    if not trust:
        require_trusted(root)
    with torch.random.fork_rng(devices=[]):  # the weights that are drawn here are replaced at once
        network = build_network(str(root), trust=trust)
    load_weights(network, weights_file(root))
    return network.eval()


def build_network(
    bundle_root: str,
    overrides: dict[str, Any] | None = None,
    without: Sequence[str] = (),
    trust: bool = False,
) -> nn.Module:
    """Make the network that a bundle's inference configuration defines, with random weights.

    Args:
        bundle_root: folder of the bundle.
        overrides: arguments that differ, such as `{"n_recurrences": 0}`; `_target_` names another network.
        without: arguments that are left out, those that another network does not take.
        trust: build what `check_config` refuses, such as a network of another package.

    Raises:
        InputError: no inference configuration, or one that makes no network, or names code that is refused.
    """
    path = Path(bundle_root) / "configs" / "inference.json"
    definition = read_config(path, _STAGE).get("network_def")
    if not isinstance(definition, dict):
        raise InputError(path, _STAGE, "a network_def", str(definition))
    arguments = {
        key: value for key, value in {**definition, **(overrides or {})}.items() if key not in without
    }
    # Here too: overrides come from a configuration that may have put them together while it ran.
    findings = [] if trust else check_config({"network_def": arguments}, path, STAGE)
    if findings:
        raise findings[0]
    network = build_content(ConfigParser({"network": arguments}), "network", path, _NETWORK)
    if not isinstance(network, nn.Module):
        raise InputError(path, _STAGE, _NETWORK, type(network).__name__)
    return network
