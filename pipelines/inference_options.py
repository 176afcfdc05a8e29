"""What the inference configuration of a bundle says about its network besides the network itself."""

import math
from dataclasses import dataclass

from monai.bundle import ConfigParser

from kseg.pipelines.bundle import find_bundle
from kseg.transforms.errors import InputError, require_file

_STAGE = "read bundle"


@dataclass(frozen=True)
class InferenceOptions:
    """How probabilities are made of a network's logits; as in `segment_volume`.

    Attributes:
        flip: average with the mirrored scan.
        temperature: divides the logits.
    """

    flip: bool = False
    temperature: float = 1.0


def read_inference_options(name_or_path: str) -> InferenceOptions:
    """Read `flip` and `temperature` of a bundle, `configs/inference.json`.

    Args:
        name_or_path: name or folder of the bundle, see `find_bundle`.

    Raises:
        InputError: no such bundle, no such configuration, a flip that is not true or false, a temperature that is
            not a positive number.
    """
    path = find_bundle(name_or_path) / "configs" / "inference.json"
    require_file(path, _STAGE)
    try:
        config = ConfigParser.load_config_file(path)
    except ValueError as error:
        raise InputError(path, _STAGE, "JSON", str(error)) from error
    flip, temperature = config.get("flip", False), config.get("temperature", 1.0)
    if not isinstance(flip, bool):
        raise InputError(path, _STAGE, "a flip of true or false", repr(flip))
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 0 < temperature < math.inf:
        raise InputError(path, _STAGE, "a positive temperature", repr(temperature))
    return InferenceOptions(flip, float(temperature))
