from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.digest import file_sha256
from kseg.pipelines.items import Item
from kseg.pipelines.resume import resume

IDENTITY = {"weights_sha256": "w", "settings": {"seed": 0}}


@pytest.fixture
def item(tmp_path: Path) -> Item:
    """An input of five bytes, and its result `out/a_seg.nii.gz`."""
    (tmp_path / "a.h5").write_bytes(b"12345")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_seg.nii.gz").write_bytes(b"mask")
    return Item("a", tmp_path / "a.h5", 5, "as it was")


def good_record(item: Item) -> dict[str, Any]:
    return {
        "case": "a",
        "status": "ok",
        "size": 5,
        "state": "as it was",
        "input_sha256": file_sha256(item.path),
        "outputs": {"a_seg.nii.gz": file_sha256(item.path.parent / "out" / "a_seg.nii.gz")},
        **IDENTITY,
    }


def test_what_is_done_and_unchanged_is_left(item: Item) -> None:
    plan = resume([item], {"a": good_record(item)}, IDENTITY, item.path.parent / "out")
    assert (plan.todo, plan.done, plan.failed, plan.again, plan.renewed) == ([], ["a"], {}, {}, [])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"weights_sha256": "other"}, "other weights"),
        ({"settings": {"seed": 1}}, "other settings"),
        ({"size": 6}, "changed input"),
        ({"state": "other", "input_sha256": "0" * 64}, "changed input"),
        ({"state": "other", "input_sha256": None}, "changed input"),
        ({"outputs": {"a_seg.nii.gz": "0" * 64}}, "missing or changed output"),
        ({"outputs": {"gone.nii.gz": "0" * 64}}, "missing or changed output"),
        ({"outputs": None}, "missing or changed output"),
        ({"status": "failed", "error": "why", "weights_sha256": "other"}, "other weights"),
    ],
)
def test_what_does_not_fit_any_more_is_done_again(item: Item, change: dict[str, Any], why: str) -> None:
    plan = resume([item], {"a": good_record(item) | change}, IDENTITY, item.path.parent / "out")
    assert (plan.todo, plan.done, plan.failed, plan.again) == ([item], [], {}, {why: 1})


def test_a_copied_input_is_the_same_input(item: Item) -> None:
    record = good_record(item) | {"state": "other"}
    plan = resume([item], {"a": record}, IDENTITY, item.path.parent / "out")
    assert plan.done == ["a"]
    assert plan.renewed == [{**good_record(item), "input": str(item.path)}]


def test_what_failed_is_left_with_its_reason_unless_it_is_asked_for(item: Item) -> None:
    record = good_record(item) | {"status": "failed", "error": "why"}
    out = item.path.parent / "out"
    plan = resume([item], {"a": record}, IDENTITY, out)
    assert (plan.todo, plan.failed) == ([], {"a": "why"})
    plan = resume([item], {"a": record}, IDENTITY, out, retry_failed=True)
    assert (plan.todo, plan.failed, plan.again) == ([item], {}, {"failed before": 1})


def test_what_has_no_record_is_new(item: Item) -> None:
    plan = resume([item], {}, IDENTITY, item.path.parent / "out")
    assert (plan.todo, plan.again) == ([item], {})
