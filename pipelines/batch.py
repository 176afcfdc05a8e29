"""Work through many files so that a bad one costs itself alone."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from kseg.pipelines.cases import files_by_case, without_suffix
from kseg.pipelines.engines import Engine
from kseg.pipelines.items import Item, Record
from kseg.pipelines.progress import progress
from kseg.pipelines.records import RecordFile
from kseg.transforms.errors import InputError

_logger = logging.getLogger(__name__)

_FIND = "find inputs"


@dataclass
class BatchResult:
    """What became of each case.

    Attributes:
        done: cases that were finished.
        failed: reason by case, one line each.
        before: cases that an earlier run finished.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all done; 1: some failed; 3: there was nothing to do."""
        if not self.done and not self.failed and not self.before:
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
    items: Sequence[Item],
    engine: Engine,
    *,
    stage: str,
    records: RecordFile,
    common: Mapping[str, Any] | None = None,
    settle: Callable[[Record], Record] | None = None,
) -> BatchResult:
    """Do items; one that fails is named with its reason and the others go on.

    Args:
        items: what is done.
        engine: does them.
        stage: what is being done, for progress.
        records: gets one line per case as soon as it is done.
        common: what all records say.
        settle: is given each record before it is added, and gives what is added.
    """
    result = BatchResult()
    # Closed at once, an engine ends its processes before anything else happens.
    with closing(engine.run(items)) as outcomes:
        for record in progress(outcomes, stage, total=len(items), name=itemgetter("case")):
            settled = settle(record) if settle else record
            records.append({**settled, **(common or {})})
            if record["status"] == "ok":
                result.done.append(record["case"])
            else:
                result.failed[record["case"]] = record["error"]
                _logger.error("%s", record["error"])
    return result
