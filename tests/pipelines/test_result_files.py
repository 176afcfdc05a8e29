from pathlib import Path

import pytest

from kseg.pipelines.manifest import Shard
from kseg.pipelines.records import open_records
from kseg.pipelines.result_files import (
    has_begun,
    records_file,
    records_files,
    remove_leftovers,
    require_one_division,
)
from kseg.transforms.errors import InputError

HEX = "0123456789ab"


def test_each_shard_has_a_file_of_records(tmp_path: Path) -> None:
    paths = [records_file(tmp_path, shard) for shard in (Shard(), Shard(1, 2), Shard(2, 2))]
    assert [path.name for path in paths] == ["results.jsonl", "results-1-of-2.jsonl", "results-2-of-2.jsonl"]
    for path in paths:
        path.touch()
    assert set(records_files(tmp_path)) == set(paths)


def test_a_division_has_begun_once_a_share_has_records(tmp_path: Path) -> None:
    records_file(tmp_path, Shard()).touch()
    records_file(tmp_path, Shard(2, 3)).touch()
    assert [has_begun(tmp_path, count) for count in (1, 2, 3)] == [True, False, True]


def test_only_runs_that_divide_alike_work_side_by_side(tmp_path: Path) -> None:
    with open_records(records_file(tmp_path, Shard(1, 3))):
        require_one_division(tmp_path, Shard(2, 3))
        for shard in (Shard(), Shard(1, 2)):
            message = (
                rf"results-1-of-3\.jsonl: record results: expected no run that divides the items otherwise than "
                rf"by {shard.count}, received one that divides them by 3$"
            )
            with pytest.raises(InputError, match=message):
                require_one_division(tmp_path, shard)
    require_one_division(tmp_path, Shard(1, 2))


def test_leftovers_of_ones_own_cases_are_removed_and_nothing_else(tmp_path: Path) -> None:
    removed = [f"site/.{HEX}.a_seg.nii.gz", f".{HEX}.a_prob.nii.gz"]
    # Of shards that start together, another may be writing them.
    of_all = [f".{HEX}.manifest.jsonl", f".{HEX}.summary.json"]
    kept = [
        f".{HEX}.a_b_seg.nii.gz",
        f"site/.{HEX}.b_seg.nii.gz",
        f".{HEX}.unknown.nii.gz",
        "a_seg.nii.gz",
        ".hidden.a_seg.nii.gz",
    ]
    for name in removed + of_all + kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for alone, expected in ((False, of_all + kept), (True, kept)):
        remove_leftovers(tmp_path, {"a", "a_b", "site/a", "site/b"}, {"a", "site/a"}, alone=alone)
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert left == set(expected)
