from pathlib import Path

import pytest

from kseg.pipelines.contrast_items import contrast_items
from kseg.transforms.errors import InputError


def test_each_case_has_its_paths_and_its_name(tmp_path: Path) -> None:
    for name in ("site/a_T1w.nii.gz", "site/a_FLAIR.nii", "b_T1w.nii.gz", "b_FLAIR.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert contrast_items(str(tmp_path), str(tmp_path / "eval"), ["T1w", "FLAIR"]) == [
        {"image": [str(tmp_path / f"b_{each}.nii.gz") for each in ("T1w", "FLAIR")], "case": "b"},
        {
            "image": [str(tmp_path / "site/a_T1w.nii.gz"), str(tmp_path / "site/a_FLAIR.nii")],
            "case": "site/a",
        },
    ]


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    message = (
        r"find inputs: expected at least one case with NAME_T1w.nii.gz, NAME_FLAIR.nii.gz, received none$"
    )
    with pytest.raises(InputError, match=message):
        contrast_items(str(tmp_path), str(tmp_path / "eval"), ["T1w", "FLAIR"])
    (tmp_path / "t1.nii").touch()
    with pytest.raises(InputError, match=r"NAME_FLAIR.nii.gz, received other images \(1\): t1\.nii$"):
        contrast_items(str(tmp_path), str(tmp_path / "eval"), ["T1w", "FLAIR"])
