"""Check a bundle before anything of it runs.

The check is static: files are listed, read and parsed; nothing that they name is imported, built, evaluated or
unpickled. It is defence in depth, not a sandbox: see docs/trust.md for what it cannot promise.
"""

from collections.abc import Callable
from pathlib import Path

from kseg.pipelines.bundle_files import WEIGHTS, list_bundle_files
from kseg.pipelines.bundle_seal import check_seal
from kseg.pipelines.config_check import check_config, check_metadata
from kseg.pipelines.config_file import SUFFIXES, read_plain
from kseg.pipelines.large_files_check import check_large_files
from kseg.pipelines.logging_config_check import check_logging_config
from kseg.pipelines.weights_check import check_weights
from kseg.transforms.errors import InputError

STAGE = "check bundle"


def check_bundle(root: Path) -> list[InputError]:
    """Look for everything in a bundle that could run code of its author's choice, and for files that changed.

    Args:
        root: folder of the bundle.

    Returns:
        What was found, each a line with file, expected and received; empty for a bundle to be used.

    Example:
        >>> from kseg.pipelines.bundle_folder import find_bundle
        >>> check_bundle(find_bundle("brain_kspace_segmentation"))
        []
    """
    listed = list_bundle_files(root, STAGE)
    findings = [*listed.findings, *check_seal(root, listed, STAGE)]
    for path in listed.files.values():
        if path.suffix.lower() in SUFFIXES:
            findings += _check_plain(path)
        elif path.suffix.lower() == ".conf":
            findings += check_logging_config(path, STAGE)
        elif path.suffix.lower() in WEIGHTS:
            findings += check_weights(path, STAGE)
    return findings


def require_trusted(root: Path) -> None:
    """Refuse a bundle in which the check finds something.

    Args:
        root: folder of the bundle.

    Raises:
        InputError: the first finding, and how many more there are.
    """
    findings = check_bundle(root)
    if findings:
        first = findings[0]
        others = f" and {len(findings) - 1} more findings of `kseg bundle check`" if len(findings) > 1 else ""
        advice = f"{first.received}{others}; --trust takes the bundle all the same"
        raise InputError(first.path, first.stage, first.expected, advice)


def _check_plain(path: Path) -> list[InputError]:
    try:
        content = read_plain(path, STAGE)
    except InputError as error:
        return [error]
    # By name, wherever they lie: each is stricter than the check of a configuration.
    checks: dict[str, Callable[[object, Path, str], list[InputError]]] = {
        "metadata": check_metadata,
        "large_files": check_large_files,
    }
    return checks.get(path.stem.lower(), check_config)(content, path, STAGE)
