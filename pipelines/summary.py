"""What became of all items of an output folder, from the records of all shards."""

import json
from pathlib import Path

from kseg.pipelines.batch import BatchResult
from kseg.pipelines.items import Record
from kseg.pipelines.manifest import read_manifest
from kseg.pipelines.records import read_records
from kseg.pipelines.result_files import MANIFEST, SUMMARY, records_files
from kseg.transforms.atomic import atomic_path

_TOLD = ("status", "outputs", "stage", "error", "error_class", "weights_sha256")


def write_summary(output: Path) -> BatchResult:
    """Write `OUTPUT/summary.json`: counts, and of each case in the manifest status, files and reason.

    It says what was done, not when or by whom: one run, shards and a cluster write the same.

    Args:
        output: output folder.

    Returns:
        Cases that are done, and the reason of each that failed or was not reached.

    Raises:
        InputError: no manifest, or files that cannot be read.
    """
    items = read_manifest(output / MANIFEST, Path())
    records = read_records(records_files(output))
    cases = {item.case: {"input": item.path.as_posix(), **_told(records.get(item.case))} for item in items}
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


def _told(record: Record | None) -> Record:
    if record is None:
        return {"status": "missing"}
    return {key: record[key] for key in _TOLD if key in record}
