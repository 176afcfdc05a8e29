import os
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.digest import file_sha256
from kseg.pipelines.input_state import input_state
from kseg.pipelines.items import Item, do_item, failure, list_items, look_again, look_at
from kseg.transforms.errors import InputError


def item(path: Path, case: str = "a") -> Item:
    (listed,) = list_items({case: [path]})
    return listed


def test_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"12345")
    os.utime(tmp_path / "a.h5", ns=(7, 8))
    found = {"a": [tmp_path / "a.h5", tmp_path / "a.nii"], "gone": [tmp_path / "gone.h5"]}
    assert list_items(found) == [
        Item("a", tmp_path / "a.h5", 5, input_state([tmp_path / "a.h5"])[1], ("a.nii",)),
        Item("gone", tmp_path / "gone.h5", -1, ""),
    ]


def test_a_listed_case_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a_T1w.nii"
    path.write_bytes(b"12345")
    path.with_name("a_T2w.nii").write_bytes(b"1")
    listed = look_at("a", path, others=("a.h5",), parts=("a_T2w.nii",))
    path.write_bytes(b"1234567")
    again = look_again(listed)
    assert (listed.size, again.size) == (6, 8)
    assert (again.case, again.others, again.files) == (listed.case, listed.others, listed.files)


def test_a_record_says_what_was_done_with_which_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"12345")
    record = do_item(item(path), lambda given: {"seen": (given.case, given.path)}, "segment")
    assert record.pop("seconds") >= 0
    assert record == {
        "case": "a",
        "input": str(path),
        "size": 5,
        "state": input_state([path])[1],
        "input_sha256": file_sha256(path),
        "status": "ok",
        "seen": ("a", path),
    }


def test_a_file_that_was_changed_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"12345")
    listed = item(path)
    path.write_bytes(b"1234567")
    record = do_item(listed, lambda _: {}, "segment")
    assert record["error"] == (
        f"{path}: segment: expected the file that was listed, 5 bytes, "
        "received one that was changed since, 7 bytes"
    )
    path.unlink()
    assert "No such file" in do_item(listed, lambda _: {}, "segment")["error"]


def test_a_file_that_was_changed_while_it_was_worked_on_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1))

    def work(item: Item) -> dict[str, Any]:
        path.write_bytes(b"54321")
        return {"outputs": {"a_seg.nii.gz": "digest"}, "notes": []}

    record = do_item(item(path), work, "segment")
    assert record["status"] == "failed"
    assert record["error"].endswith(
        "expected the file that was listed, 5 bytes, received one that was changed since, 5 bytes"
    )
    # Whoever keeps the records knows what to remove.
    assert record["outputs"] == {"a_seg.nii.gz": "digest"}
    assert "input_sha256" not in record


@pytest.mark.parametrize(
    ("error", "stage", "text"),
    [
        (InputError("b.h5", "read", "x", "y"), "read", "b.h5: read: expected x, received y"),
        (ValueError("expected 1,\nreceived 8"), "segment", "a.h5: segment: expected 1, received 8"),
        (KeyError("kspace"), "segment", "a.h5: segment: KeyError: 'kspace'"),
    ],
)
def test_an_error_becomes_one_line(error: Exception, stage: str, text: str) -> None:
    assert failure(Item("a", Path("a.h5")), "segment", error) == {
        "status": "failed",
        "stage": stage,
        "error": text,
        "error_class": type(error).__name__,
    }
