"""What a bundle segments: k-space, or images of several contrasts; PyTorch is not needed to know it."""

from typing import Any

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.config_file import read_config
from kseg.transforms.errors import InputError

_STAGE = "read bundle"


def read_contrasts(bundle: str) -> tuple[str, ...]:
    """Look up the contrasts of the images that a bundle takes.

    Args:
        bundle: name or folder of the bundle.

    Returns:
        Endings of the files' names, such as `T1w`, in the order of the network's channels; none where the bundle
        takes k-space.

    Raises:
        InputError: no such bundle, or metadata that do not tell.

    Example:
        >>> read_contrasts("brain_kspace_segmentation")
        ()
    """
    path = find_bundle(bundle) / "configs" / "metadata.json"
    metadata = read_config(path, _STAGE)
    try:
        image: dict[str, Any] = metadata["network_data_format"]["inputs"]["image"]
        if image["format"] == "kspace":
            return ()
        named = image["channel_def"]
        return tuple(str(named[str(index)]) for index in range(len(named)))
    except (KeyError, TypeError) as error:
        expected = "a name for each channel in network_data_format.inputs.image.channel_def"
        raise InputError(path, _STAGE, expected, type(error).__name__) from error
