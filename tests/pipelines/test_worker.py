import pickle
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from kseg.pipelines.items import Item
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segment_task import SegmentTask
from kseg.transforms.errors import InputError


@dataclass
class Conversation:
    """What a worker said, and how it ended."""

    said: list[object]
    exit_code: int


def talk(task: object, items: list[Item]) -> Conversation:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "kseg.pipelines.worker", str(theirs.fileno())], pass_fds=(theirs.fileno(),)
        )
    said = []
    with ours:
        ours.send_bytes(pickle.dumps(task))
        said.append(ours.recv())
        for item in items:
            ours.send(item)
            said.append(ours.recv())
    return Conversation(said, process.wait(60))


def test_it_says_when_it_is_ready_answers_items_and_ends_with_the_connection(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    task = SegmentTask(tmp_path / "out", str(tiny_bundle), SegmentSettings())
    talked = talk(task, [Item("a", tmp_path / "a.h5"), Item("b", tmp_path / "b.h5")])
    ready, first, second = talked.said
    assert ready is None
    assert [record["status"] for record in (first, second)] == ["failed", "failed"]
    assert "expected an HDF5 file" in first["error"]
    assert "b.h5: read k-space: expected a file" in second["error"]
    assert talked.exit_code == 0


def test_it_says_why_it_cannot_start(tmp_path: Path) -> None:
    talked = talk(SegmentTask(tmp_path, str(tmp_path / "nothing"), SegmentSettings()), [])
    (error,) = talked.said
    assert isinstance(error, InputError)
    assert error.expected.endswith("or the folder of a bundle")
    assert talked.exit_code == 0
