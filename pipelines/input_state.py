"""What tells that an input has changed: of a DICOM series all its files count."""

import hashlib
from pathlib import Path

from kseg.pipelines.dicom_inputs import input_files
from kseg.pipelines.digest import file_sha256


def input_state(path: Path) -> tuple[int, int]:
    """Size and time of the last change of an input.

    Args:
        path: a scan, see `find_scans`.

    Returns:
        Bytes of all files, and nanoseconds since 1970.

    Raises:
        OSError: a file that cannot be looked at.
        InputError: a DICOM file that cannot be read.
    """
    states = [file.stat() for file in input_files(path)]
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def input_sha256(path: Path) -> str:
    """SHA-256 of an input, hexadecimal; that of a series is the digest of its files' digests, by name.

    Args:
        path: a scan, see `find_scans`.

    Raises:
        OSError: a file that cannot be read.
        InputError: a DICOM file that cannot be read.
    """
    digests = [file_sha256(file) for file in input_files(path)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
