"""A worker that dies or hangs costs its item only; real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kseg.pipelines.items import Item, Record, look_at
from kseg.pipelines.workers import Workers

pytestmark = pytest.mark.usefixtures("hostile_task")


def run(tmp_path: Path, cases: str, n_workers: int = 1, timeout: float | None = None) -> dict[str, Record]:
    from hostile_task import Hostile

    items = []
    for case in cases.split():
        (tmp_path / case).touch()
        items.append(look_at(case, tmp_path / case))
    records = list(Workers(Hostile(tmp_path), n_workers, timeout).run(items))
    assert len(records) == len(items)
    return {record["case"]: record for record in records}


def test_a_worker_starts_once_and_does_everything(tmp_path: Path) -> None:
    records = run(tmp_path, "a b bad c")
    assert [record["status"] for record in records.values()] == ["ok", "ok", "failed", "ok"]
    assert records["bad"]["error"] == f"{tmp_path}/bad: test: expected good, received bad"
    assert {record.get("pid") for record in records.values()} - {None} == {
        int((tmp_path / "started").read_text())
    }
    assert records["a"]["pid"] != os.getpid()
    assert records["a"]["torch"] is False


def test_workers_share_items_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    records = run(tmp_path, " ".join(f"case{number}" for number in range(40)), n_workers=2)
    assert {record["status"] for record in records.values()} == {"ok"}
    assert {record["threads"] for record in records.values()} == {"3"}
    assert 1 <= len((tmp_path / "started").read_text().split()) <= 2


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_item_that_kills_its_worker_costs_itself_only(tmp_path: Path, n_workers: int) -> None:
    records = run(tmp_path, "a killed b exits c", n_workers)
    assert {case for case, record in records.items() if record["status"] == "ok"} == {"a", "b", "c"}
    expected = "test: expected a worker that lives, received its"
    assert records["killed"]["error"] == f"{tmp_path}/killed: {expected} death by signal 9"
    assert records["exits"]["error"] == f"{tmp_path}/exits: {expected} end with exit code 3"
    assert records["killed"]["error_class"] == "WorkerDied"
    assert records["killed"]["stage"] == "test"


def test_an_item_that_hangs_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    records = run(tmp_path, "a hangs b", timeout=1.5)
    assert time.monotonic() - began < 40
    assert {case for case, record in records.items() if record["status"] == "ok"} == {"a", "b"}
    assert records["hangs"]["error"] == f"{tmp_path}/hangs: test: expected an end within 1.5 s, received none"
    assert records["hangs"]["error_class"] == "Timeout"
    assert records["hangs"]["seconds"] >= 1.5


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("refuses", r"^weights: expected some, received none$"),
        ("fails", r"^test: expected a task that starts, received KeyError: 'two\\nlines'$"),
        ("dies", r"^test: expected a worker process that starts, received its end with exit code 7$"),
    ],
)
def test_a_task_that_cannot_start_ends_the_run(tmp_path: Path, broken: str, message: str) -> None:
    from hostile_task import Hostile

    with pytest.raises(ValueError, match=message):
        list(Workers(Hostile(tmp_path, broken=broken)).run([Item("a", tmp_path / "a")]))


# Where this runs in the background, Ctrl-C is ignored unless a program wants it.
LEADER = """
import signal
import sys
from pathlib import Path
from hostile_task import Hostile
from kseg.pipelines.items import Item
from kseg.pipelines.workers import Workers

signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
list(Workers(Hostile(folder)).run([Item("hangs", folder / "hangs")]))
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_workers_leave_with_the_one_who_leads_and_leave_nothing_half_written(
    tmp_path: Path, sent: signal.Signals
) -> None:
    (tmp_path / "hangs").touch()
    leader = subprocess.Popen([sys.executable, "-c", LEADER, str(tmp_path)], stderr=subprocess.DEVNULL)

    def half_written() -> list[Path]:
        return list(tmp_path.glob(".*.half.txt"))

    wait_until(lambda: bool(half_written()))
    worker = int((tmp_path / "started").read_text())
    leader.send_signal(sent)
    leader.wait(30)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())
    assert half_written() == []
    assert not (tmp_path / "half.txt").exists()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")
