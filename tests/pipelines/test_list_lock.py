from pathlib import Path
from threading import Event, Thread

import pytest

from kseg.pipelines.list_lock import LOCK, alone_at_list
from kseg.pipelines.manifest import Shard
from kseg.transforms.errors import InputError


def test_a_share_waits_until_another_has_listed(tmp_path: Path) -> None:
    entered = Event()

    def other() -> None:
        with alone_at_list(tmp_path / "out", Shard(2, 2)):
            entered.set()

    waiting = Thread(target=other)
    with alone_at_list(tmp_path / "out", Shard(1, 2)):
        waiting.start()
        assert not entered.wait(0.3)
    assert entered.wait(30)
    waiting.join()


def test_a_run_that_does_everything_waits_for_none_and_leaves_nothing(tmp_path: Path) -> None:
    with alone_at_list(tmp_path / "out", Shard()):
        assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = rf"{LOCK}: list inputs: expected a place to write to, received File exists$"
    with pytest.raises(InputError, match=message), alone_at_list(tmp_path / "file", Shard(1, 2)):
        pass
