"""Find what can be segmented: k-space files, images, DICOM series; or the scans of a BIDS dataset."""

from pathlib import Path

from kseg.pipelines.batch import find_files
from kseg.pipelines.bids_inputs import find_bids
from kseg.pipelines.dicom_inputs import DICOM_SUFFIX, find_dicom_series, looks_like_dicom
from kseg.pipelines.scan_files import IMAGE_SUFFIXES, KSPACE_SUFFIXES


def find_scans(source: Path, output: Path, *, bids: bool = False) -> dict[str, list[Path]]:
    """Find scans, to any depth.

    k-space and images are known by their suffix, DICOM by its suffix or content, so that a folder may hold all
    of them.

    Args:
        source: a file, or a folder.
        output: output folder, which may lie inside.
        bids: the folder is a BIDS dataset, of which the anatomical scans are wanted.

    Returns:
        Files of each case, sorted; of a DICOM series the first. Several files of one case would write the same
        output.

    Raises:
        InputError: see `find_files`, `find_bids` and `find_dicom_series`.
    """
    if bids:
        return find_bids(source, output)
    if source.is_file() and looks_like_dicom(source):
        return find_dicom_series(source, output)
    # Of a single file, the suffixes are only named where it has another.
    single = (DICOM_SUFFIX,) if source.is_file() else ()
    found = find_files(source, KSPACE_SUFFIXES + IMAGE_SUFFIXES + single, output)
    if source.is_dir():
        for case, paths in find_dicom_series(source, output).items():
            found.setdefault(case, []).extend(paths)
    return dict(sorted(found.items()))
