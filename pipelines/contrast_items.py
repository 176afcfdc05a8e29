"""The images of a folder, in several contrasts each, as the items of a MONAI workflow."""

from collections.abc import Sequence
from pathlib import Path

from kseg.pipelines.contrast_files import contrast_paths, find_contrasts, no_case


def contrast_items(
    dataset_dir: str, output_dir: str, contrasts: Sequence[str]
) -> list[dict[str, str | list[str]]]:
    """List the cases of a folder, to any depth.

    MONAI's engines end an empty run without an error; here it is one.

    Args:
        dataset_dir: folder of `NAME_CONTRAST.nii.gz`, or one such file.
        output_dir: folder of the results, which may lie inside; what is in it is left out.
        contrasts: endings of the names, in the order of the network's channels.

    Returns:
        For each case its paths under `image`, and under `case` its relative folder and name.

    Raises:
        InputError: there is no such folder, no case in it, a contrast of one is missing or there twice, or it is
            the output folder.
    """
    items = find_contrasts(Path(dataset_dir), Path(output_dir), contrasts)
    if not items:
        raise no_case(dataset_dir, contrasts, "none")
    return [
        {"image": [str(path) for path in contrast_paths(item, contrasts)], "case": item.case}
        for item in items
    ]
