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
        tmp_path / "manifest.jsonl",
        [Item(name, Path("in", f"{name}.h5"), 1, "s") for name in names],
        Path("in"),
    )
    done = {
        "case": "done",
        "state": "s",
        "status": "ok",
        "outputs": {"done_seg.nii.gz": "d"},
        "weights_sha256": "w",
    }
    failed = {
        "case": "failed",
        "state": "s",
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


def test_a_record_of_an_input_that_has_changed_since_counts_as_none(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", [Item("a", Path("in/a.h5"), 1, "new")], Path("in"))
    for state, done in (("old", []), ("new", ["a"])):
        with open_records(tmp_path / "results.jsonl") as records:
            records.append({"case": "a", "status": "ok", "state": state})
        result = write_summary(tmp_path)
        assert result.done == done
        assert bool(result.failed) == (not done)
    assert json.loads((tmp_path / "summary.json").read_text())["counts"]["missing"] == 0


def test_results_of_different_weights_or_settings_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [Item(name, Path("in", f"{name}.h5"), 1, "s") for name in "abc"]
    write_manifest(tmp_path / "manifest.jsonl", items, Path("in"))
    same = {"status": "ok", "state": "s", "weights_sha256": "w", "configuration_sha256": "c", "settings": {}}
    for number, name, change in (
        (1, "a", {}),
        (2, "b", {}),
        (3, "c", {"weights_sha256": "other", "settings": {"flip": True}}),
    ):
        write_summary(tmp_path)
        assert caplog.messages == []
        with open_records(tmp_path / f"results-{number}-of-3.jsonl") as records:
            records.append({**same, "case": name, **change})
    write_summary(tmp_path)
    assert caplog.messages == [f"{tmp_path}: its results were made with different weights, settings"]


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.jsonl: read manifest: expected a manifest"):
        write_summary(tmp_path)
