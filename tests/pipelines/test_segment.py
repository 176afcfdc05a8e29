"""Runs over a folder: what is done, what an earlier run has done, in how many parts."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kseg.pipelines.batch import BatchResult
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.find_scans import find_scans
from kseg.pipelines.list_lock import LOCK
from kseg.pipelines.manifest import Shard, read_manifest
from kseg.pipelines.records import RecordFile, open_records
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segment_task import SegmentTask
from kseg.pipelines.summary import write_summary
from kseg.transforms.errors import InputError

Save = Callable[..., Path]


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [message for message in caplog.messages if not message.startswith("segment ")]
    caplog.clear()
    return messages


def test_a_run_goes_on_where_it_was_and_says_what_it_does_again(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kseg")
    source, output = tmp_path / "in", tmp_path / "out"
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    for name in ("a", "b", "site/c"):
        save_kspace(source / f"{name}.h5")
    (source / "bad.h5").write_bytes(b"no HDF5")

    def run(
        settings: SegmentSettings | None = None, **options: Any
    ) -> tuple[list[str], list[str], list[str]]:
        settings = settings or SegmentSettings()
        result = segment(source, output, str(bundle), settings, RunSettings(**options))
        return result.done, result.before, list(result.failed)

    assert run() == (["a", "b", "site/c"], [], ["bad"])
    said(caplog)
    assert run() == ([], ["a", "b", "site/c"], ["bad"])
    assert said(caplog) == []
    (output / "b_seg.nii.gz").write_bytes(b"cut off")
    (output / "site" / "c_seg.nii.gz").unlink()
    left = output / ".0123456789ab.b_seg.nii.gz"
    left.write_bytes(b"half")
    assert run() == (["b", "site/c"], ["a"], ["bad"])
    assert not left.exists()
    assert said(caplog) == ["2 done again: missing or changed output"]
    os.utime(source / "a.h5", ns=(1, 1))
    assert run() == ([], ["a", "b", "site/c"], ["bad"])
    assert said(caplog) == [f"{source} since the last list: 1 changed"]
    save_kspace(source / "a.h5", mask=torch.ones(18, dtype=torch.bool))
    save_kspace(source / "d.h5")
    assert run() == (["a", "d"], ["b", "site/c"], ["bad"])
    assert "1 done again: changed input" in said(caplog)
    save_kspace(source / "bad.h5")
    assert run() == (["bad"], ["a", "b", "d", "site/c"], [])
    said(caplog)
    weights = torch.load(bundle / "models" / "model.pt")
    weights = {name: value + 0.01 if value.is_floating_point() else value for name, value in weights.items()}
    torch.save(weights, bundle / "models" / "model.pt")
    seal_bundle(bundle)
    assert run() == (["a", "b", "bad", "d", "site/c"], [], [])
    assert "5 done again: other weights" in said(caplog)
    assert run(SegmentSettings(probabilities=True))[0] == ["a", "b", "bad", "d", "site/c"]
    assert "5 done again: other settings" in said(caplog)
    assert len(run(SegmentSettings(probabilities=True), resume=False)[0]) == 5


def test_shares_leave_alone_what_others_write_and_only_the_first_lists(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdefgh":
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.h5").write_bytes(b"no HDF5")
    output, listed = tmp_path / "out", []
    monkeypatch.setattr(
        "kseg.pipelines.segment.find_scans",
        lambda *args, **options: listed.append(args) or find_scans(*args, **options),
    )
    monkeypatch.setattr(SegmentTask, "start", lambda task: lambda item: {})
    temporary = output / ".0123456789ab.manifest.jsonl"
    output.mkdir()
    temporary.touch()

    def run(number: int) -> None:
        segment(
            tmp_path / "in", output, str(tiny_bundle), SegmentSettings(), RunSettings(shard=Shard(number, 4))
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(1, 5)))
    assert temporary.exists()
    assert len(listed) == 1
    assert write_summary(output).done == list("abcdefgh")


def test_what_a_killed_run_left_of_a_case_that_failed_is_removed(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.h5").write_bytes(b"no HDF5")
    left = tmp_path / "out" / ".0123456789ab.bad_seg.nii.gz"
    for _ in range(2):
        segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings())
        assert not left.exists()
        left.touch()


def test_what_failed_is_left_unless_it_is_asked_for(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.h5").write_bytes(b"no HDF5")
    for retry, lines in ((False, 1), (False, 1), (True, 2)):
        run = RunSettings(retry_failed=retry)
        result = segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings(), run)
        assert result.exit_code == 1
        assert "expected an HDF5 file" in result.failed["bad"]
        assert len(records(tmp_path / "out")) == lines


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(("results", LOCK))
    }


def test_shards_and_processes_make_what_one_run_makes(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    names = ["a", "b", "c", "site/a", "site/d"]
    for name in names:
        save_kspace(source / f"{name}.h5")
    (source / "bad.h5").write_bytes(b"no HDF5")
    whole = segment(source, tmp_path / "whole", str(tiny_bundle), SegmentSettings())
    assert whole.done == names
    done: list[str] = []
    for number in (2, 1, 3):
        run = RunSettings(engine="processes", workers=2, shard=Shard(number, 3))
        result = segment(source, tmp_path / "shards", str(tiny_bundle), SegmentSettings(), run)
        assert not set(done) & set(result.done)
        done += result.done
    assert sorted(done) == names
    merged = write_summary(tmp_path / "shards")
    assert (merged.done, merged.failed) == (whole.done, whole.failed)
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")


def test_shards_share_the_list_of_the_first(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abcdef":
        save_kspace(tmp_path / "in" / f"{name}.h5")
    shards = {number: Shard(number, 2) for number in (1, 2)}
    later = next(name for name in "ghijklm" if shards[2].holds(name))

    def run(number: int, **options: Any) -> BatchResult:
        settings = RunSettings(shard=shards[number], **options)
        return segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings(), settings)

    run(1)
    save_kspace(tmp_path / "in" / f"{later}.h5")
    gone = next(name for name in "abcdef" if shards[2].holds(name))
    (tmp_path / "in" / f"{gone}.h5").unlink()
    second = run(2)
    assert later not in second.done
    assert "No such file" in second.failed[gone]
    caplog.set_level(logging.INFO, "kseg")
    assert run(2, relist=True).done == [later]
    assert f"{tmp_path / 'in'} since the last list: 1 new, 1 gone" in caplog.messages


def test_a_repeated_share_does_what_has_changed(save_kspace: Save, tiny_bundle: Path, tmp_path: Path) -> None:
    source, output, shard = tmp_path / "in", tmp_path / "out", Shard(1, 2)
    names = [name for name in "abcdefgh" if shard.holds(name)][:2]
    for name in names:
        save_kspace(source / f"{name}.h5")

    def run() -> BatchResult:
        return segment(source, output, str(tiny_bundle), SegmentSettings(), RunSettings(shard=shard))

    assert run().done == names
    changed = save_kspace(source / f"{names[0]}.h5", mask=torch.ones(18, dtype=torch.bool))
    with changed.open("ab") as file:
        file.write(bytes(8))
    again = run()
    assert (again.done, again.before) == (names[:1], names[1:])
    listed = read_manifest(output / "manifest.jsonl", source)
    assert {item.case: item.size for item in listed}[names[0]] == changed.stat().st_size
    assert run().before == names


def test_nothing_of_other_settings_or_another_input_stays(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    scan, output = save_kspace(tmp_path / "a.h5"), tmp_path / "out"

    def written(**settings: bool) -> set[str]:
        segment(scan, output, str(tiny_bundle), SegmentSettings(**settings), RunSettings(resume=False))
        return {path.name for path in output.glob("*.nii.gz")}

    endings = ("seg", "prob", "recon", "recurrences")
    everything = written(probabilities=True, reconstruction=True, recurrences=True)
    assert everything == {f"a_{ending}.nii.gz" for ending in endings}
    assert written(probabilities=True) == {"a_seg.nii.gz", "a_prob.nii.gz"}
    assert written() == {"a_seg.nii.gz"}
    scan.write_bytes(b"no HDF5")
    assert written() == set()


def test_a_copied_folder_is_done_in_the_summary_too(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    save_kspace(tmp_path / "in" / "a.h5")
    (tmp_path / "in" / "bad.h5").write_bytes(b"no HDF5")
    for _ in range(2):
        segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings())
        merged = write_summary(tmp_path / "out")
        assert (merged.done, list(merged.failed)) == (["a"], ["bad"])
        assert "expected an HDF5 file" in merged.failed["bad"]
        for path in (tmp_path / "in").iterdir():
            os.utime(path, ns=(1, 1))


def test_the_list_of_another_division_is_made_anew(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    names = [name for name in "abcdefgh" if Shard(1, 2).holds(name)][:2]
    save_kspace(tmp_path / "in" / f"{names[0]}.h5")
    for shard, expected in ((Shard(), names[:1]), (Shard(1, 2), names)):
        run = RunSettings(shard=shard)
        result = segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings(), run)
        assert sorted(result.done + result.before) == expected
        save_kspace(tmp_path / "in" / f"{names[1]}.h5")


def test_two_runs_at_once_on_one_output_are_refused(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_kspace(tmp_path / "in" / "a.h5")

    def run(shard: Shard) -> None:
        settings = RunSettings(shard=shard)
        segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings(), settings)

    run(Shard())
    listed = (tmp_path / "out" / "manifest.jsonl").read_bytes()
    save_kspace(tmp_path / "in" / "b.h5")
    with open_records(tmp_path / "out" / "results.jsonl"):
        with pytest.raises(
            InputError, match=r"results\.jsonl: record results: expected no other run with this output"
        ):
            run(Shard())
        with pytest.raises(
            InputError, match="expected no run that divides the items otherwise than by 2, rec"
        ):
            run(Shard(1, 2))
    assert not (tmp_path / "out" / "results-1-of-2.jsonl").exists()

    @contextmanager
    def open_late(path: Path) -> Iterator[RecordFile]:
        with open_records(tmp_path / "out" / "results-1-of-3.jsonl"), open_records(path) as records:
            yield records

    # Another that begins at the same moment.
    monkeypatch.setattr("kseg.pipelines.segment.open_records", open_late)
    with pytest.raises(InputError, match="expected no run that divides the items otherwise than by 1, rec"):
        run(Shard())
    monkeypatch.undo()
    # The list is that of the run at work.
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == listed
    run(Shard())
