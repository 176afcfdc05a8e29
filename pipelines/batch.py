"""Work through many files so that a bad one costs itself alone."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kseg.transforms.errors import InputError

_logger = logging.getLogger(__name__)


@dataclass
class BatchResult:
    """What became of each case.

    Attributes:
        done: cases that were finished.
        failed: reason by case, one line each.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: all done; 1: some failed; 3: there was nothing to do."""
        if not self.done and not self.failed:
            return 3
        return 1 if self.failed else 0


def find_files(source: Path, suffixes: tuple[str, ...], leave_out: Path) -> dict[str, list[Path]]:
    """Find input files, to any depth.

    Args:
        source: a file or a folder.
        suffixes: endings that count as input.
        leave_out: the output folder, which may lie inside the source.

    Returns:
        Files of each case, keyed by relative folder and name without suffix, sorted; several files of one case
        would write the same output.

    Raises:
        InputError: the source does not exist, has another suffix, or is the output folder.
    """
    if source.is_file():
        if not source.name.endswith(suffixes):
            raise InputError(
                source, "find inputs", f"a file ending in {', '.join(suffixes)}", source.suffix or "none"
            )
        return {_without_suffix(source.name, suffixes): [source]}
    if not source.is_dir():
        raise InputError(source, "find inputs", "a file or a folder", "nothing there")
    if source.resolve() == leave_out.resolve():
        raise InputError(source, "find inputs", "an output folder other than the input", "the same folder")
    cases: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*")):
        if not path.name.endswith(suffixes) or path.name.startswith(".") or not path.is_file():
            continue
        if leave_out.resolve() in path.resolve().parents:
            continue
        case = _without_suffix(path.relative_to(source).as_posix(), suffixes)
        cases.setdefault(case, []).append(path)
    return cases


def run_batch(
    cases: Mapping[str, list[Path]],
    work: Callable[[str, Path], dict[str, Any]],
    *,
    stage: str,
    records: Path | None = None,
) -> BatchResult:
    """Do the work of every case; a case that fails is named with its reason and the others go on.

    Args:
        cases: files of each case, see `find_files`.
        work: does one case from its name and file, and returns what its record shall hold.
        stage: what is being done, for the progress bar and messages.
        records: JSON-lines file that gets one line per case as soon as it is done.
    """
    result = BatchResult()
    if records is not None:
        records.parent.mkdir(parents=True, exist_ok=True)
    for case, paths in tqdm(cases.items(), desc=stage, unit="file", disable=None):
        began = time.monotonic()
        record: dict[str, Any] = {"case": case, "input": str(paths[0])}
        try:
            if len(paths) > 1:
                names = ", ".join(path.name for path in paths)
                raise InputError(paths[0], stage, f"one file named {Path(case).name} in its folder", names)
            record |= {"status": "ok", **work(case, paths[0])}
            result.done.append(case)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            reason = _one_line(error, paths[0], stage)
            record |= {"status": "failed", "error": reason, "error_class": type(error).__name__}
            result.failed[case] = reason
            _logger.error("%s", reason)
        record["seconds"] = round(time.monotonic() - began, 3)
        if records is not None:
            with records.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    return result


def _without_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    longest = max((suffix for suffix in suffixes if name.endswith(suffix)), key=len)
    return name.removesuffix(longest)


def _one_line(error: Exception, path: Path, stage: str) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, InputError) else f"{path}: {stage}: {text}"
