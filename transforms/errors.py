"""The one error type for a file that cannot be used, and the first check of every reader."""

import os
import stat


class InputError(ValueError):
    """A file that cannot be used, told in one line: which file, which stage, expected what, received what.

    Args:
        path: the file as the user named it.
        stage: the step that failed, for example `read k-space`.
        expected: what a good file would hold.
        received: what this file holds; line breaks are folded into spaces.

    Example:
        >>> raise InputError("scan.h5", "read k-space", "complex values", "float32")
        Traceback (most recent call last):
        kseg.transforms.errors.InputError: scan.h5: read k-space: expected complex values, received float32
    """

    def __init__(self, path: str | os.PathLike[str], stage: str, expected: str, received: str) -> None:
        # All four go to `args`, so that the error survives the pickling between worker processes.
        super().__init__(path, stage, expected, received)
        self.path = path
        self.stage = stage
        self.expected = expected
        self.received = received

    def __str__(self) -> str:
        line = f"{self.path}: {self.stage}: expected {self.expected}, received {self.received}"
        return " ".join(line.splitlines())


def require_file(path: str | os.PathLike[str], stage: str) -> None:
    """Refuse a path that is not a file with something in it.

    Args:
        path: the file as the user named it.
        stage: the step that wants it, for the message.

    Raises:
        InputError: there is nothing, no permission to look, a folder, a device, or an empty file.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(path, stage, "a file", error.strerror or "nothing") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(path, stage, "a file", "a folder")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(path, stage, "a file", "a device or pipe")
    if status.st_size == 0:
        raise InputError(path, stage, "a file with content", "an empty file")
