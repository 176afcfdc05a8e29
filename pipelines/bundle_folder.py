"""Where bundles are, and where their parts lie; nothing here loads PyTorch."""

from pathlib import Path

import kseg.bundles
from kseg.transforms.errors import InputError

_STAGE = "read bundle"


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


def weights_file(root: Path) -> Path:
    """The trained weights of a bundle.

    Args:
        root: folder of the bundle.
    """
    return root / "models" / "model.pt"
