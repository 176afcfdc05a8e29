import json
from pathlib import Path

import pytest

from kseg.pipelines.items import Item
from kseg.pipelines.manifest import write_manifest
from kseg.pipelines.records import open_records
from kseg.pipelines.summary import write_summary
from kseg.transforms.errors import InputError


def test_every_listed_case_is_told_of(tmp_path: Path) -> None:
    names = ["done", "failed", "never"]
    write_manifest(
        tmp_path / "manifest.jsonl", [Item(name, Path("in", f"{name}.h5"), 1) for name in names], Path("in")
    )
    done = {"case": "done", "status": "ok", "outputs": {"done_seg.nii.gz": "d"}, "weights_sha256": "w"}
    failed = {
        "case": "failed",
        "status": "failed",
        "stage": "read",
        "error": "why",
        "error_class": "InputError",
    }
    with open_records(tmp_path / "results-1-of-2.jsonl") as records:
        records.append({**done, "status": "failed", "error": "at first"})
        records.append({**done, "seconds": 3})
        records.append({"case": "not listed", "status": "ok"})
    with open_records(tmp_path / "results-2-of-2.jsonl") as records:
        records.append(failed)
    result = write_summary(tmp_path)
    assert result.done == ["done"]
    assert result.failed == {"failed": "why", "never": "never.h5: segment: not done yet"}
    assert result.exit_code == 1
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "counts": {"ok": 1, "failed": 1, "missing": 1},
        "cases": {
            "done": {
                "input": "done.h5",
                "status": "ok",
                "outputs": {"done_seg.nii.gz": "d"},
                "weights_sha256": "w",
            },
            "failed": {
                "input": "failed.h5",
                "status": "failed",
                "stage": "read",
                "error": "why",
                "error_class": "InputError",
            },
            "never": {"input": "never.h5", "status": "missing"},
        },
    }


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.jsonl: read manifest: expected a manifest"):
        write_summary(tmp_path)
