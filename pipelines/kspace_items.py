"""The k-space files of a folder as the items of a MONAI workflow."""

from pathlib import Path

from kseg.pipelines.batch import find_files
from kseg.transforms.errors import InputError

_STAGE = "find inputs"


def kspace_items(dataset_dir: str, output_dir: str) -> list[dict[str, str]]:
    """List the k-space files of a folder, to any depth.

    MONAI's engines end an empty run without an error; here it is one.

    Args:
        dataset_dir: folder of `.h5` or `.mrd` files, or one such file.
        output_dir: folder of the results, which may lie inside; what is in it is left out.

    Returns:
        For each file its path under `image`, and under `case` its relative folder and name without suffix.

    Raises:
        InputError: there is no such folder, no k-space file in it, two of one name, or it is the output folder.
    """
    found = find_files(Path(dataset_dir), (".h5", ".mrd"), Path(output_dir))
    if not found:
        raise InputError(dataset_dir, _STAGE, "at least one k-space file (.h5 or .mrd)", "none")
    for case, paths in found.items():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise InputError(paths[0], _STAGE, f"one file named {Path(case).name} in its folder", names)
    return [{"image": str(path), "case": case} for case, (path,) in found.items()]
