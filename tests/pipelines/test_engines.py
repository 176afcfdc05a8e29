import time
from pathlib import Path

from kseg.pipelines.engines import InProcess, seconds_left
from kseg.pipelines.items import Item


def test_items_are_done_in_their_order_each_when_it_is_asked_for(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / name).touch()
    seen = []

    def work(item: Item) -> dict[str, str]:
        seen.append(item.case)
        if item.case == "a":
            raise ValueError("expected b, received a")
        return {"file": item.path.name}

    records = InProcess(work, "test").run([Item(name, tmp_path / name) for name in "ba"])
    assert next(records)["file"] == "b"
    assert seen == ["b"]
    assert next(records)["error"] == f"{tmp_path}/a: test: expected b, received a"
    assert list(records) == []


def test_the_oldest_item_decides_how_long_to_wait() -> None:
    now = time.monotonic()
    left = seconds_left([now - 1, now - 7, now], timeout=10)
    assert left is not None
    assert 2 < left <= 3
    assert seconds_left([now - 11, now], timeout=10) == 0
    assert seconds_left([now], timeout=None) is None
