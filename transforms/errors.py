"""The one error type for a file that cannot be used."""

from os import PathLike


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

    def __init__(self, path: str | PathLike[str], stage: str, expected: str, received: str) -> None:
        # All four go to `args`, so that the error survives the pickling between worker processes.
        super().__init__(path, stage, expected, received)
        self.path = path
        self.stage = stage
        self.expected = expected
        self.received = received

    def __str__(self) -> str:
        line = f"{self.path}: {self.stage}: expected {self.expected}, received {self.received}"
        return " ".join(line.splitlines())
