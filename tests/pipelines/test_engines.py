from pathlib import Path

from kseg.pipelines.engines import InProcess
from kseg.pipelines.items import Item


def test_items_are_done_in_their_order_each_when_it_is_asked_for(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / name).touch()
    seen = []

    def work(case: str, path: Path) -> dict[str, str]:
        seen.append(case)
        if case == "a":
            raise ValueError("expected b, received a")
        return {"file": path.name}

    records = InProcess(work, "test").run([Item(name, tmp_path / name) for name in "ba"])
    assert next(records)["file"] == "b"
    assert seen == ["b"]
    assert next(records)["error"] == f"{tmp_path}/a: test: expected b, received a"
    assert list(records) == []
