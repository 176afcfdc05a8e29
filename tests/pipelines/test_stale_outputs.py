import json
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.stale_outputs import StaleOutputs

NAMES = ("a_seg.nii.gz", "a_prob.nii.gz", "site/a_recon.nii.gz", "b_seg.nii.gz")


@pytest.fixture
def stale(tmp_path: Path) -> StaleOutputs:
    """Of a folder `out` in which two runs have written of `a`, and one of `b`."""
    for name in (*NAMES, "../outside.nii.gz"):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    lines: list[dict[str, Any]] = [
        {"case": "a", "outputs": {NAMES[0]: "1", NAMES[2]: "2", "gone.nii.gz": "3", "site": "4"}},
        {"case": "a", "outputs": {NAMES[0]: "1", NAMES[1]: "2"}},
        {"case": "b", "outputs": {NAMES[3]: "1"}},
        {"case": "a", "outputs": dict.fromkeys(["../outside.nii.gz", str(tmp_path / "outside.nii.gz")], "0")},
        {"case": "a", "outputs": {"link/outside.nii.gz": "0"}},
        {"case": "a", "status": "failed"},
    ]
    records = tmp_path / "out" / "results.jsonl"
    records.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return StaleOutputs(tmp_path / "out", [records])


def left(tmp_path: Path) -> list[str]:
    return [name for name in NAMES if (tmp_path / "out" / name).exists()]


def test_of_a_case_that_is_done_its_results_are_left(tmp_path: Path, stale: StaleOutputs) -> None:
    record = {"case": "a", "status": "ok", "size": 5, "outputs": {NAMES[0]: "new"}}
    assert stale.settle(record) == record
    assert left(tmp_path) == [NAMES[0], NAMES[3]]
    assert (tmp_path / "outside.nii.gz").exists()


def test_of_a_case_that_failed_nothing_is_left(tmp_path: Path, stale: StaleOutputs) -> None:
    failed = {"case": "a", "status": "failed", "size": 5}
    # Written, and found to be of an input that has changed.
    (tmp_path / "out" / "a_new.nii.gz").touch()
    assert stale.settle({**failed, "outputs": {"a_new.nii.gz": "new"}}) == failed
    assert left(tmp_path) == [NAMES[3]]
    assert not (tmp_path / "out" / "a_new.nii.gz").exists()


def test_an_input_that_has_gone_takes_nothing_with_it(tmp_path: Path, stale: StaleOutputs) -> None:
    stale.settle({"case": "a", "status": "failed", "size": -1})
    assert left(tmp_path) == list(NAMES)
