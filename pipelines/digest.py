"""What identifies the content of a file."""

import hashlib
from pathlib import Path

_CHUNK = 2**20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Args:
        path: the file.

    Raises:
        OSError: a file that cannot be read.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "empty"
        >>> file.touch()
        >>> file_sha256(file)[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
