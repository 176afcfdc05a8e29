"""How a bundle wants its network to be used: what its inference configuration says besides the network itself."""

import math
from dataclasses import dataclass, fields

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.config_file import read_config
from kseg.transforms.errors import InputError

_STAGE = "read bundle"
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class InferenceOptions:
    """How probabilities are made by a network.

    Attributes:
        flip: average images and probabilities with those of the scan mirrored left to right; takes twice as long.
        temperature: divides the logits of the probabilities, averaged or not; above 1 they are less sure of the same
            classes.
        precision: of the convolutions: `float32`, `bfloat16`, or `auto`, bfloat16 where the device has units for it.

    Raises:
        ValueError: a flip that is not true or false, a temperature that is not a positive number, another precision.
    """

    flip: bool = False
    temperature: float = 1.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip: expected true or false, received {self.flip!r}")
        number = isinstance(self.temperature, int | float) and not isinstance(self.temperature, bool)
        if not number or not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a positive number, received {self.temperature!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision: expected one of {', '.join(PRECISIONS)}, received {self.precision!r}"
            )


def read_inference_options(name_or_path: str) -> InferenceOptions:
    """Read the options of a bundle, `configs/inference.json`; those that it does not name have their defaults.

    Args:
        name_or_path: name or folder of the bundle, see `find_bundle`.

    Raises:
        InputError: no such bundle, no such configuration, or a value that the option does not have.
    """
    path = find_bundle(name_or_path) / "configs" / "inference.json"
    config = read_config(path, _STAGE)
    known = {field.name: config[field.name] for field in fields(InferenceOptions) if field.name in config}
    try:
        return InferenceOptions(**known)
    except ValueError as error:
        raise InputError(path, _STAGE, "valid options", str(error)) from error
