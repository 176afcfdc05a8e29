import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kseg.pipelines.find_scans import find_scans
from kseg.transforms.errors import InputError

Save = Callable[..., list[Path]]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(source: Path, *, bids: bool = False) -> dict[str, list[str]]:
    return {
        case: [path.name for path in paths]
        for case, paths in find_scans(source, source / "out", bids=bids).items()
    }


def test_a_folder_may_hold_files_of_all_kinds(save_series: Save, tmp_path: Path) -> None:
    save_series(tmp_path / "site" / "t2", np.ones((4, 4, 2)), np.eye(4), names="IM{}".format)
    save_series(tmp_path / "out", np.ones((4, 4, 2)), np.eye(4))
    touch(tmp_path, "a.nii.gz", "b.h5", "site/c.mrd", "site/d.nii", "notes.txt", "out/a_seg.nii.gz")
    os.mkfifo(tmp_path / "site" / "t2" / "pipe")
    assert found(tmp_path) == {
        "a": ["a.nii.gz"],
        "b": ["b.h5"],
        "site/c": ["c.mrd"],
        "site/d": ["d.nii"],
        "site/t2": ["IM0"],
    }


def test_a_series_and_an_image_of_one_name_are_ambiguous(save_series: Save, tmp_path: Path) -> None:
    save_series(tmp_path / "t2", np.ones((4, 4, 2)), np.eye(4))
    touch(tmp_path, "t2.nii.gz")
    assert found(tmp_path) == {"t2": ["t2.nii.gz", "0000.dcm"]}


def test_a_single_file(save_series: Save, tmp_path: Path) -> None:
    paths = save_series(tmp_path, np.ones((4, 4, 2)), np.eye(4))
    touch(tmp_path, "a.nii.gz", "notes.txt")
    assert find_scans(paths[1], tmp_path / "out") == {"0001": [paths[1]]}
    assert find_scans(tmp_path / "a.nii.gz", tmp_path / "out") == {"a": [tmp_path / "a.nii.gz"]}
    message = r"notes\.txt: find inputs: expected a file ending in .*\.nii\.gz, \.dcm, received \.txt$"
    with pytest.raises(InputError, match=message):
        find_scans(tmp_path / "notes.txt", tmp_path / "out")


def test_of_a_bids_dataset_the_scans_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "dataset_description.json", "sub-1/anat/sub-1_T2w.nii.gz", "extra.nii.gz")
    assert found(tmp_path, bids=True) == {"sub-1/anat/sub-1_desc-T2w": ["sub-1_T2w.nii.gz"]}
    assert list(found(tmp_path)) == ["extra", "sub-1/anat/sub-1_T2w"]
