"""With what a scan is segmented, as results that leave kseg say it."""

from dataclasses import dataclass
from typing import Any

from kseg.pipelines.bundle_folder import find_bundle, weights_file
from kseg.pipelines.config_file import read_config
from kseg.pipelines.digest import file_sha256
from kseg.transforms.errors import InputError, require_file

_STAGE = "read bundle"


@dataclass(frozen=True)
class Provenance:
    """A bundle and the meaning of its labels.

    Attributes:
        bundle: name of the bundle's folder.
        bundle_version: version of the bundle.
        weights_sha256: digest of the file of weights.
        labels: name of each class, that of the background first.
    """

    bundle: str
    bundle_version: str
    weights_sha256: str
    labels: tuple[str, ...]


def read_provenance(bundle: str) -> Provenance:
    """Look up what a bundle says of itself; PyTorch is not needed.

    Args:
        bundle: name or folder of the bundle.

    Raises:
        InputError: no such bundle, no weights, or metadata that do not name the classes.
    """
    root = find_bundle(bundle)
    weights, path = weights_file(root), root / "configs" / "metadata.json"
    require_file(weights, _STAGE)
    metadata = read_config(path, _STAGE)
    try:
        named: dict[str, Any] = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        labels = tuple(str(named[str(index)]) for index in range(len(named)))
    except (KeyError, TypeError) as error:
        expected = "a name for each class in network_data_format.outputs.pred.channel_def"
        raise InputError(path, _STAGE, expected, type(error).__name__) from error
    return Provenance(
        bundle=root.resolve().name,
        bundle_version=str(metadata.get("version", "unknown")),
        weights_sha256=file_sha256(weights),
        labels=labels,
    )
