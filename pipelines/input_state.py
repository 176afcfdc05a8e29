"""What tells that an input has changed: all files of a case count, and all those of a DICOM series."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from kseg.pipelines.dicom_inputs import input_files
from kseg.pipelines.digest import file_sha256


def input_state(files: Sequence[Path]) -> tuple[int, str]:
    """What can be told of an input without reading it.

    Args:
        files: of a case; the first file of a DICOM series stands for all.

    Returns:
        Bytes of all files, and the SHA-256 of name, size and time of the last change of each, hexadecimal.

    Raises:
        OSError: a file that cannot be looked at.
        InputError: a DICOM file that cannot be read.
    """
    states = [(file.name, file.stat()) for file in _all(files)]
    told = json.dumps([(name, state.st_size, state.st_mtime_ns) for name, state in states])
    return sum(state.st_size for _, state in states), hashlib.sha256(told.encode()).hexdigest()


def input_sha256(files: Sequence[Path]) -> str:
    """SHA-256 of an input, hexadecimal; that of several files is the digest of their digests.

    Args:
        files: of a case; the first file of a DICOM series stands for all.

    Raises:
        OSError: a file that cannot be read.
        InputError: a DICOM file that cannot be read.
    """
    digests = [file_sha256(file) for file in _all(files)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _all(files: Sequence[Path]) -> list[Path]:
    return [file for first in files for file in input_files(first)]
