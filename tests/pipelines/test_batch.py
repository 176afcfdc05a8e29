"""Which files are input, and that a bad one costs itself alone."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.engines import InProcess
from kseg.pipelines.items import Item, Work, list_items
from kseg.pipelines.records import open_records
from kseg.transforms.errors import InputError

SUFFIXES = (".h5", ".nii", ".nii.gz")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def run(cases: dict[str, list[Path]], work: Work, records: Path, **common: Any) -> BatchResult:
    with open_records(records) as file:
        engine = InProcess(work, "segment")
        return run_batch(list_items(cases), engine, stage="segment", records=file, common=common)


def test_a_file_is_a_case_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a.h5", "b.txt")
    assert find_files(tmp_path / "a.nii.gz", SUFFIXES, tmp_path) == {"a": [tmp_path / "a.nii.gz"]}
    with pytest.raises(
        InputError,
        match=r"b\.txt: find inputs: expected a file ending in \.h5, \.nii, \.nii\.gz, received \.txt$",
    ):
        find_files(tmp_path / "b.txt", SUFFIXES, tmp_path / "out")


def test_a_folder_is_searched_to_any_depth_without_the_output(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b.h5",
        "site/b.nii",
        "site/b.h5",
        "out/a_seg.nii.gz",
        "out/site/b.h5",
        "site/out/c.h5",
        "x.txt",
    )
    (tmp_path / "elsewhere").symlink_to(tmp_path / "out")
    for output in (tmp_path / "out", tmp_path / "site" / ".." / "out", tmp_path / "elsewhere"):
        assert find_files(tmp_path, SUFFIXES, output) == {
            "b": [tmp_path / "b.h5"],
            "site/b": [tmp_path / "site/b.h5", tmp_path / "site/b.nii"],
            "site/out/c": [tmp_path / "site/out/c.h5"],
        }


def test_input_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"nowhere: find inputs: expected a file or a folder, received nothing there$"
    ):
        find_files(tmp_path / "nowhere", SUFFIXES, tmp_path / "out")


@pytest.mark.parametrize("output", ["in", "in/.", "in/sub/..", "link", "."])
def test_output_among_the_input_is_refused(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "in/sub/a.h5")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    received = r"\., which holds it" if output == "." else "the same folder"
    message = rf"^in: find inputs: expected an output folder other than the input, received {received}$"
    with pytest.raises(InputError, match=message):
        find_files(Path("in"), SUFFIXES, Path(output))
    for single in ("in/sub", "."):
        assert find_files(Path("in/sub/a.h5"), SUFFIXES, Path(single)) == {"a": [Path("in/sub/a.h5")]}


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.h5", "out")
    with pytest.raises(InputError, match=r"out: find inputs: expected an output folder, received a file$"):
        find_files(tmp_path / "a.h5", SUFFIXES, tmp_path / "out")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (BatchResult(["a"], {}), 0),
        (BatchResult(["a"], {"b": "reason"}), 1),
        (BatchResult([], {"b": "reason"}), 1),
        (BatchResult(before=["a"]), 0),
        (BatchResult(failed={"b": "reason"}, before=["a"]), 1),
        (BatchResult(), 3),
    ],
)
def test_exit_code(result: BatchResult, code: int) -> None:
    assert result.exit_code == code


def fail(error: Exception) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        raise error

    return work


def test_a_bad_case_costs_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.h5", "z.h5")
    outcomes = {
        "a": dict,
        "input": fail(InputError("named.h5", "read k-space", "complex values", "float32")),
        "value": fail(ValueError("coils: expected 1,\nreceived 8")),
        "memory": fail(MemoryError()),
        "bug": fail(KeyError("kspace")),
        "z": lambda: {"sigma": 0.5},
    }
    cases = {name: [tmp_path / f"{name}.h5"] for name in outcomes} | {
        "site/two": [tmp_path / "site/two.h5", tmp_path / "site/two.nii"]
    }
    records = tmp_path / "out" / "results.jsonl"
    result = run(cases, lambda item: outcomes[item.case](), records, weights="w")
    assert result.done == ["a", "z"]
    assert result.failed == {
        "input": "named.h5: read k-space: expected complex values, received float32",
        "value": f"{tmp_path}/value.h5: segment: coils: expected 1, received 8",
        "memory": f"{tmp_path}/memory.h5: segment: MemoryError: ",
        "bug": f"{tmp_path}/bug.h5: segment: KeyError: 'kspace'",
        "site/two": f"{tmp_path}/site/two.h5: segment: expected one file named two in its folder, "
        "received two.h5, two.nii",
    }
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == list(
        result.failed.values()
    )
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert [line["case"] for line in lines] == list(cases)
    assert [line["status"] for line in lines] == ["ok", *["failed"] * 4, "ok", "failed"]
    assert {line["weights"] for line in lines} == {"w"}
    assert lines[5]["sigma"] == 0.5


def test_a_record_is_settled_before_it_is_added(tmp_path: Path) -> None:
    touch(tmp_path, "a.h5")
    with open_records(tmp_path / "results.jsonl") as file:
        engine = InProcess(lambda item: {"old": 1}, "segment")
        items = list_items({"a": [tmp_path / "a.h5"]})
        run_batch(items, engine, stage="segment", records=file, settle=lambda record: {"new": record["old"]})
    (line,) = (tmp_path / "results.jsonl").read_text().splitlines()
    assert json.loads(line).keys() == {"new", "finished"}


def test_records_are_added_to_and_come_one_by_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.h5", "b.h5")
    records = tmp_path / "results.jsonl"
    seen = []

    def work(item: Item) -> dict[str, Any]:
        seen.append(len(records.read_text().splitlines()))
        return {}

    for _ in range(2):
        run({"a": [tmp_path / "a.h5"], "b": [tmp_path / "b.h5"]}, work, records)
    assert seen == [0, 1, 2, 3]
