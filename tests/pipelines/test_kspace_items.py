"""Which files become items, under which names, and when there are none."""

import re
from pathlib import Path

import pytest

from kseg.pipelines.kspace_items import kspace_items
from kseg.transforms.errors import InputError


def test_items_are_named_by_folder_and_file(tmp_path: Path) -> None:
    for name in ("b.h5", "site/a.v2.h5", "site/deep/c.mrd", "notes.txt", "out/d.h5", ".hidden.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert kspace_items(str(tmp_path), str(tmp_path / "out")) == [
        {"image": str(tmp_path / "b.h5"), "case": "b"},
        {"image": str(tmp_path / "site/a.v2.h5"), "case": "site/a.v2"},
        {"image": str(tmp_path / "site/deep/c.mrd"), "case": "site/deep/c"},
    ]
    alone = str(tmp_path / "b.h5")
    assert kspace_items(alone, str(tmp_path / "out")) == [{"image": alone, "case": "b"}]


def test_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").touch()
    message = re.escape(
        f"{tmp_path}: find inputs: expected at least one k-space file (.h5 or .mrd), received none"
    )
    with pytest.raises(InputError, match=message):
        kspace_items(str(tmp_path), str(tmp_path / "out"))


def test_two_files_of_one_case_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    (tmp_path / "a.mrd").touch()
    with pytest.raises(
        InputError, match=r"expected one file named a in its folder, received a\.h5 and a\.mrd"
    ):
        kspace_items(str(tmp_path), str(tmp_path / "out"))


def test_missing_folder_and_output_in_place_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file or a folder"):
        kspace_items(str(tmp_path / "nowhere"), str(tmp_path))
    with pytest.raises(InputError, match="received the same folder"):
        kspace_items(str(tmp_path), str(tmp_path))
