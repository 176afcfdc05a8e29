"""Files that are either complete or absent."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kseg.transforms.errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary path; what was written there appears under its final name in one step.

    The temporary file lies in the same folder under a hidden name that ends with the final one, so that a
    writer that chooses its format by suffix (`x.nii.gz`) chooses the same. A process that is killed can leave
    the hidden file behind, never a partial file under the final name.

    Args:
        path: the final name; its folder exists. A file of that name is replaced.

    Yields:
        The temporary path. The body creates the file and closes it; when it raises, the file is removed.

    Raises:
        InputError: the folder does not exist.
        FileNotFoundError: the body created no file.

    Example:
        >>> import tempfile
        >>> final = Path(tempfile.mkdtemp()) / "case.nii.gz"
        >>> with atomic_path(final) as temporary:
        ...     written = temporary.write_bytes(b"image")
        ...     (temporary.name.endswith(".nii.gz"), final.exists())
        (True, False)
        >>> final.read_bytes()
        b'image'
    """
    final = Path(path)
    if not final.parent.is_dir():
        raise InputError(final, "write", f"an existing folder {final.parent}", "none")
    temporary = final.with_name(f".{uuid.uuid4().hex[:12]}.{final.name}")
    try:
        yield temporary
        _flush_file(temporary)
        os.replace(temporary, final)
        _flush_folder(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_file(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    # The rename itself is durable only once the folder is; Windows cannot open one.
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
