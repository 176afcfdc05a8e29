"""Build what a configuration defines, so that what goes wrong names the file."""

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from kseg.transforms.errors import InputError

_STAGE = "read bundle"


def build_content(parser: ConfigParser, name: str, path: Path, expected: str) -> Any:
    """Build a part of a configuration.

    Args:
        parser: of the configuration, which is trusted.
        name: of the part.
        path: file of the configuration, for the message.
        expected: what a good one holds, for the message.

    Raises:
        InputError: there is no such part, or building it fails.
    """
    if name not in parser:
        raise InputError(path, _STAGE, expected, "none")
    try:
        return parser.get_parsed_content(name)
    except Exception as error:  # whatever a constructor raises; MONAI wraps it
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise InputError(path, _STAGE, expected, f"{type(cause).__name__}: {cause}") from error
