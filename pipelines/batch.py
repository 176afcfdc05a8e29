"""Work through many files so that a bad one costs itself alone."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kseg.pipelines.cases import files_by_case, without_suffix
from kseg.pipelines.progress import progress
from kseg.transforms.errors import InputError

_logger = logging.getLogger(__name__)

_FIND = "find inputs"


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
        source: a file, or a folder; see `files_by_case`.
        suffixes: endings that count as input.
        leave_out: the output folder, which may lie inside the source.

    Returns:
        Files of each case, keyed by relative folder and name without suffix, sorted; several files of one case
        would write the same output.

    Raises:
        InputError: the source does not exist, has another suffix, or lies in the output folder or is it; the
            output folder is a file.
    """
    if leave_out.exists() and not leave_out.is_dir():
        raise InputError(leave_out, _FIND, "an output folder", "a file")
    if source.is_file():
        if not source.name.endswith(suffixes):
            raise InputError(
                source, _FIND, f"a file ending in {', '.join(suffixes)}", source.suffix or "none"
            )
        return {without_suffix(source.name, suffixes): [source]}
    if not source.is_dir():
        raise InputError(source, _FIND, "a file or a folder", "nothing there")
    inside, outside = source.resolve(), leave_out.resolve()
    if inside.is_relative_to(outside):
        # Outputs would lie among the inputs, and could replace them.
        received = "the same folder" if inside == outside else f"{leave_out}, which holds it"
        raise InputError(source, _FIND, "an output folder other than the input", received)
    return files_by_case(source, suffixes, leave_out)


def run_batch(
    cases: Mapping[str, list[Path]],
    work: Callable[[str, Path], dict[str, Any]],
    *,
    stage: str,
    records: Path,
) -> BatchResult:
    """Do the work of every case; a case that fails is named with its reason and the others go on.

    Args:
        cases: files of each case, see `find_files`.
        work: does one case from its name and file, and returns what its record shall hold.
        stage: what is being done, for progress and messages.
        records: JSON-lines file that gets one line per case as soon as it is done. Its folder is made if need
            be; lines that it holds are kept, so that the last line of a case is the one that counts.

    Raises:
        InputError: the records cannot be written.
    """
    result = BatchResult()
    if cases:
        _append(records, "")
    for case in progress(list(cases), stage):
        began = time.monotonic()
        record: dict[str, Any] = {"case": case, "input": str(cases[case][0])}
        try:
            record |= {"status": "ok", **work(case, _only(case, cases[case], stage))}
            result.done.append(case)
        except Exception as error:  # whatever it is, the others go on
            reason = _one_line(error, cases[case][0], stage)
            record |= {"status": "failed", "error": reason, "error_class": type(error).__name__}
            result.failed[case] = reason
            _logger.error("%s", reason)
            _logger.debug("%s", reason, exc_info=True)
        record["seconds"] = round(time.monotonic() - began, 3)
        _append(records, json.dumps(record) + "\n")
    return result


def _only(case: str, paths: list[Path], stage: str) -> Path:
    if len(paths) > 1:
        expected, received = (
            f"one file named {Path(case).name} in its folder",
            ", ".join(p.name for p in paths),
        )
        raise InputError(paths[0], stage, expected, received)
    return paths[0]


def _append(records: Path, line: str) -> None:
    try:
        records.parent.mkdir(parents=True, exist_ok=True)
        with records.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise InputError(
            records, "record results", "a place to write to", error.strerror or "none"
        ) from error


def _one_line(error: Exception, path: Path, stage: str) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return text
    if not isinstance(error, ValueError):
        text = f"{type(error).__name__}: {text}"
    return f"{path}: {stage}: {text}"
