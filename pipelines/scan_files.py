"""Which files are scans."""

from pathlib import Path

from kseg.pipelines.batch import find_files

KSPACE_SUFFIXES = (".h5", ".mrd")
IMAGE_SUFFIXES = (".nii", ".nii.gz")


def find_scans(source: Path, output: Path) -> dict[str, list[Path]]:
    """Find k-space files and images.

    Args:
        source: a file, or a folder that is searched to any depth.
        output: output folder, which may lie inside.

    Returns:
        Files of each case, see `find_files`.

    Raises:
        InputError: see `find_files`.
    """
    return find_files(source, KSPACE_SUFFIXES + IMAGE_SUFFIXES, output)
