import fcntl
import json
import os
from pathlib import Path

import pytest

from kseg.pipelines.records import is_at_work, open_records, read_outputs, read_records
from kseg.transforms.errors import InputError


def test_the_last_record_of_a_case_counts_in_whichever_file(tmp_path: Path) -> None:
    one, two = tmp_path / "out" / "one.jsonl", tmp_path / "out" / "two.jsonl"
    for path, value in ((two, 1), (one, 2), (two, 3)):
        with open_records(path) as records:
            records.append({"case": "a", "value": value})
            records.append({"case": f"only {value}", "value": value})
    found = read_records([two, one])
    assert {case: record["value"] for case, record in found.items()} == {
        "a": 3,
        "only 1": 1,
        "only 2": 2,
        "only 3": 3,
    }
    assert found["a"]["finished"] > found["only 2"]["finished"]


def test_all_that_was_ever_written_of_a_case_is_known(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for path, name in ((one, "a_prob"), (two, "a_seg")):
        with open_records(path) as records:
            records.append({"case": "a", "outputs": {name: "0"}})
            records.append({"case": "a", "outputs": None})
            records.append({"case": "b"})
    assert read_outputs([one, two]) == {"a": {"a_prob", "a_seg"}}


@pytest.mark.parametrize("rest", [b'{"case": "b", "val', b"\x00\x00", b"[1]\n", b'{"value": 3}\n'])
def test_what_a_killed_run_left_counts_as_nothing(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "records.jsonl"
    with open_records(path) as records:
        records.append({"case": "a", "value": 1})
    with path.open("ab") as file:
        file.write(rest)
    assert list(read_records([path])) == ["a"]
    with open_records(path) as records:
        records.append({"case": "c", "value": 2})
    assert list(read_records([path])) == ["a", "c"]


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with open_records(path) as records:
        assert is_at_work(path)
        message = (
            r"records\.jsonl: record results: expected no other run with this output, received one that is at"
        )
        with pytest.raises(InputError, match=message), open_records(path):
            pass
        records.append({"case": "a"})
    with path.open("rb") as file:
        # Another who asks at the same time.
        fcntl.flock(file.fileno(), fcntl.LOCK_SH)
        assert not is_at_work(path)
    assert json.loads(path.read_text())["case"] == "a"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = r"r\.jsonl: record results: expected a place to write to, received Not a directory$"
    with pytest.raises(InputError, match=message), open_records(tmp_path / "file" / "out" / "r.jsonl"):
        pass
    with pytest.raises(InputError, match=r"r\.jsonl: read results: expected a file, received No such file"):
        read_records([tmp_path / "r.jsonl"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / "records.jsonl")
    message = (
        r"records\.jsonl: record results: expected a place to write to, received No space left on device$"
    )
    with open_records(tmp_path / "records.jsonl") as records, pytest.raises(InputError, match=message):
        records.append({"case": "a"})
