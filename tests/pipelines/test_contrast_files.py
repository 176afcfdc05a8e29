import re
from pathlib import Path

import pytest

from kseg.pipelines.contrast_files import contrast_paths, find_contrasts
from kseg.transforms.errors import InputError

CONTRASTS = ("T1w", "T2w", "FLAIR")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def found(source: Path, output: Path, *, bids: bool = False) -> dict[str, list[str]]:
    items = find_contrasts(source, output, CONTRASTS, bids=bids)
    return {item.case: [path.name for path in item.files] for item in items}


def test_a_case_is_what_differs_in_the_contrast_alone(tmp_path: Path) -> None:
    names = ["site/b_T2w.nii", "site/b_FLAIR.nii.gz", "site/b_T1w.nii.gz", "a_T1w.nii.gz", "b_T1w.nii"]
    touch(tmp_path, *names, "a_PDw.nii.gz", "mask.nii.gz", "a_T1w.json", "out/a_FLAIR.nii.gz")
    assert found(tmp_path, tmp_path / "out") == {
        "a": ["a_T1w.nii.gz"],
        "b": ["b_T1w.nii"],
        "site/b": ["b_T1w.nii.gz", "b_T2w.nii", "b_FLAIR.nii.gz"],
    }
    assert [item.case for item in find_contrasts(tmp_path, tmp_path / "out", ("PDw",))] == ["a"]


def test_the_size_of_a_case_is_that_of_its_files(tmp_path: Path) -> None:
    touch(tmp_path, "a_T1w.nii.gz", "a_T2w.nii.gz", "a_FLAIR.nii.gz")
    (item,) = find_contrasts(tmp_path, tmp_path / "out", CONTRASTS)
    assert item.size == len("a_T1w.nii.gz" + "a_T2w.nii.gz" + "a_FLAIR.nii.gz")
    assert item.mtime_ns == max(path.stat().st_mtime_ns for path in tmp_path.iterdir())


def test_one_image_stands_for_those_beside_it(tmp_path: Path) -> None:
    touch(tmp_path, "a_T1w.nii.gz", "a_T2w.nii", "a_FLAIR.nii.gz", "b_T1w.nii.gz")
    expected = {"a": ["a_T1w.nii.gz", "a_T2w.nii", "a_FLAIR.nii.gz"]}
    for name in ("a_T2w.nii", "a_FLAIR.nii.gz"):
        assert found(tmp_path / name, tmp_path / "out") == expected


def test_an_image_of_no_contrast_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a_PDw.nii.gz")
    message = "find inputs: expected a name that ends in _T1w, _T2w, _FLAIR, received a_PDw.nii.gz"
    with pytest.raises(InputError, match=f"{re.escape(message)}$"):
        find_contrasts(tmp_path / "a_PDw.nii.gz", tmp_path / "out", CONTRASTS)


def test_cases_of_a_bids_dataset_are_named_like_their_derivatives(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"find inputs: expected a BIDS dataset"):
        find_contrasts(tmp_path, tmp_path / "out", CONTRASTS, bids=True)
    of_session = [f"sub-1/ses-2/anat/sub-1_ses-2_{each}.nii.gz" for each in CONTRASTS]
    touch(tmp_path, "dataset_description.json", *of_session, "sub-2/anat/sub-2_part-phase_T2w.nii.gz")
    touch(tmp_path, "sub-2/anat/sub-2_acq-3d_FLAIR.nii.gz", "derivatives/x/sub-3/anat/sub-3_T1w.nii.gz")
    assert found(tmp_path, tmp_path / "derivatives" / "kseg", bids=True) == {
        "sub-1/ses-2/anat/sub-1_ses-2_desc-T1wT2wFLAIR": [Path(name).name for name in of_session],
        "sub-2/anat/sub-2_acq-3d_desc-T1wT2wFLAIR": ["sub-2_acq-3d_FLAIR.nii.gz"],
    }


def test_the_images_of_a_case_come_in_the_order_that_is_wanted(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a_{each}.nii.gz" for each in CONTRASTS))
    (item,) = find_contrasts(tmp_path, tmp_path / "out", CONTRASTS)
    wanted = ("FLAIR", "T1w")
    assert contrast_paths(item, wanted) == [tmp_path / "a_FLAIR.nii.gz", tmp_path / "a_T1w.nii.gz"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["a_T2w.nii.gz", "a_FLAIR.nii"],
            "a_T2w.nii.gz: {}: expected one image a_T1w beside it, received none",
        ),
        (["a_T1w.nii"], "a_T1w.nii: {}: expected one image a_T2w beside it, received none"),
        (
            ["a_T1w.nii", "a_T1w.nii.gz", "a_T2w.nii", "a_FLAIR.nii"],
            "a_T1w.nii: {}: expected one image a_T1w beside it, received a_T1w.nii, a_T1w.nii.gz",
        ),
    ],
)
def test_a_contrast_that_is_missing_or_there_twice_is_named(
    names: list[str], said: str, tmp_path: Path
) -> None:
    touch(tmp_path, *names)
    (item,) = find_contrasts(tmp_path, tmp_path / "out", CONTRASTS)
    with pytest.raises(InputError, match=f"/{re.escape(said.format('find contrasts'))}$"):
        contrast_paths(item, CONTRASTS)
