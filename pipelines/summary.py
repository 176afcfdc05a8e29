"""What became of all items of an output folder, from the records of all shards."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from kseg.pipelines.batch import BatchResult
from kseg.pipelines.items import Record
from kseg.pipelines.manifest import read_manifest
from kseg.pipelines.records import read_records
from kseg.pipelines.result_files import MANIFEST, SUMMARY, records_files
from kseg.pipelines.resume import what_differs
from kseg.pipelines.segment_task import IDENTITY
from kseg.transforms.atomic import atomic_path

_logger = logging.getLogger(__name__)

_TOLD = ("status", "outputs", "stage", "error", "error_class", "weights_sha256")


def write_summary(output: Path) -> BatchResult:
    """Write `OUTPUT/summary.json`: counts, and of each case in the manifest status, files and reason.

    It says what was done, not when or by whom: one run, shards and a cluster write the same. A record of an input
    that has changed since counts as none; results that were not all made with the same are a warning in the log.

    Args:
        output: output folder.

    Returns:
        Cases that are done, and the reason of each that failed or was not reached.

    Raises:
        InputError: no manifest, or files that cannot be read.
    """
    items = read_manifest(output / MANIFEST, Path())
    records = read_records(records_files(output))
    current = {
        item.case: records[item.case]
        for item in items
        if item.case in records and records[item.case].get("state") == item.state
    }
    _warn_of_differences(output, [record for record in current.values() if record["status"] == "ok"])
    cases = {item.case: {"input": item.path.as_posix(), **_told(current.get(item.case))} for item in items}
    statuses = [case["status"] for case in cases.values()]
    content = {
        "counts": {status: statuses.count(status) for status in ("ok", "failed", "missing")},
        "cases": cases,
    }
    with atomic_path(output / SUMMARY) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    result = BatchResult()
    for name, case in cases.items():
        if case["status"] == "ok":
            result.done.append(name)
        else:
            result.failed[name] = case.get("error", f"{case['input']}: segment: not done yet")
    return result


def _warn_of_differences(output: Path, records: Sequence[Record]) -> None:
    differing = [
        what_differs(key)
        for key in IDENTITY
        if len({json.dumps(record.get(key), sort_keys=True) for record in records}) > 1
    ]
    if differing:
        _logger.warning("%s: its results were made with different %s", output, ", ".join(differing))


def _told(record: Record | None) -> Record:
    if record is None:
        return {"status": "missing"}
    return {key: record[key] for key in _TOLD if key in record}
