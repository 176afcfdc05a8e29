"""Which file belongs to which case, and the errors a user reads when that is unclear."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kseg.pipelines.cases import files_by_case, find_volumes, one_file
from kseg.transforms.errors import InputError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_case_is_its_relative_folder_and_name(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.nii.gz", "site/b.nii", "site/deep/a.nii.gz", "notes.txt", "._b.nii.gz", ".tmp.b.nii.gz"
    )
    (tmp_path / "folder.nii.gz").mkdir()
    assert find_volumes(tmp_path) == {
        "b": [tmp_path / "b.nii.gz"],
        "site/b": [tmp_path / "site/b.nii"],
        "site/deep/a": [tmp_path / "site/deep/a.nii.gz"],
    }


def test_links_are_followed_once_and_hidden_folders_are_left_aside(tmp_path: Path) -> None:
    touch(tmp_path, "in/b.nii", ".git/objects/c.nii", "elsewhere/deep/a.nii", "in/.hidden/d.nii")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.nii").symlink_to(tmp_path / "nowhere.nii")
    found = files_by_case(tmp_path / "in", (".nii",))
    assert list(found) == ["b", "gone", "link/deep/a"]
    assert found["gone"] == [tmp_path / "in" / "gone.nii"]
    assert list(files_by_case(tmp_path / "in", (".nii",), tmp_path / "elsewhere")) == ["b", "gone"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "closed/a.nii", "b.nii")
    scandir = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    message = r"closed: find files: expected a folder that can be read, received Permission denied$"
    with pytest.raises(InputError, match=message):
        files_by_case(tmp_path, (".nii",))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: find NIfTI files: expected a folder, received nothing$"):
        find_volumes(tmp_path / "nowhere")
    touch(tmp_path, "file")
    with pytest.raises(InputError, match=r"file: find NIfTI files: expected a folder, received a file$"):
        find_volumes(tmp_path / "file")


def test_two_files_of_one_name_are_ambiguous(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "a.nii.gz")
    found = find_volumes(tmp_path)
    message = r"a: evaluate: expected one NIfTI file of this case, received a\.nii, a\.nii\.gz$"
    with pytest.raises(InputError, match=message):
        one_file(found, "a", tmp_path, "evaluate")
    with pytest.raises(
        InputError, match=r"site/b: report: expected one NIfTI file of this case, received none$"
    ):
        one_file(found, "site/b", tmp_path, "report")
    assert one_file({"a": [tmp_path / "a.nii"]}, "a", tmp_path, "evaluate") == tmp_path / "a.nii"
