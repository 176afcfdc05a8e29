from pathlib import Path

import pytest

from kseg.pipelines.bids_inputs import across_spaces, find_bids
from kseg.transforms.errors import InputError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(source: Path) -> dict[str, list[str]]:
    cases = find_bids(source, source / "derivatives" / "kseg")
    return {case: [path.relative_to(source).as_posix() for path in paths] for case, paths in cases.items()}


def test_anatomical_images_are_found_by_their_names(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "dataset_description.json",
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-fast_run-2_PDw.nii",
        "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz",
        "sub-02/ses-b/anat/sub-02_ses-b_desc-preproc_T1w.nii.gz",
    )
    expected = {
        "sub-01/anat/sub-01_acq-fast_run-2_desc-PDw": ["sub-01/anat/sub-01_acq-fast_run-2_PDw.nii"],
        "sub-01/anat/sub-01_desc-T2w": ["sub-01/anat/sub-01_T2w.nii.gz"],
        "sub-02/ses-b/anat/sub-02_ses-b_desc-T1w": ["sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz"],
        "sub-02/ses-b/anat/sub-02_ses-b_desc-preprocT1w": [
            "sub-02/ses-b/anat/sub-02_ses-b_desc-preproc_T1w.nii.gz"
        ],
    }
    touch(
        tmp_path,
        "sub-01/anat/sub-01_part-phase_T2w.nii.gz",
        "sub-01/anat/sub-01_T2star.nii.gz",
        "sub-01/anat/sub-01_T2w.json",
        "sub-01/func/sub-01_task-rest_bold.nii.gz",
        "sub-01/anat/notes/sub-01_T2w.nii.gz",
        "sub-01/anat/sub-01_T1w.h5",
        "derivatives/kseg/sub-01/anat/sub-01_desc-T2wreconstruction_T2w.nii.gz",
        "derivatives/other/sub-01/anat/sub-01_T2w.nii.gz",
        "extra_T2w.nii.gz",
    )
    assert found(tmp_path) == expected


def test_kspace_lies_in_the_source_data_and_is_another_case(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "dataset_description.json",
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T2w.h5",
        "sourcedata/sub-02/ses-1/anat/sub-02_ses-1_PDw.mrd",
        "sourcedata/sub-02/ses-1/anat/sub-02_ses-1_PDw.nii.gz",
    )
    assert found(tmp_path) == {
        "sub-01/anat/sub-01_desc-T2w": ["sub-01/anat/sub-01_T2w.nii.gz"],
        "sub-01/anat/sub-01_desc-T2wkspace": ["sourcedata/sub-01/anat/sub-01_T2w.h5"],
        "sub-02/ses-1/anat/sub-02_ses-1_desc-PDwkspace": [
            "sourcedata/sub-02/ses-1/anat/sub-02_ses-1_PDw.mrd"
        ],
    }


def test_two_files_of_one_scan_are_ambiguous(tmp_path: Path) -> None:
    touch(tmp_path, "dataset_description.json", "sub-1/anat/sub-1_T2w.nii", "sub-1/anat/sub-1_T2w.nii.gz")
    assert found(tmp_path) == {
        "sub-1/anat/sub-1_desc-T2w": ["sub-1/anat/sub-1_T2w.nii", "sub-1/anat/sub-1_T2w.nii.gz"]
    }


def test_images_of_several_spaces_are_joined_where_none_has_all_contrasts() -> None:
    def images(*names: str) -> dict[str, list[Path]]:
        return {name.rpartition("_")[2]: [Path(name)] for name in names}

    of_spaces = {
        "sub-1_acq-a_desc-x": images("T1w"),
        "sub-1_acq-a_space-T1w_desc-x": images("space-T1w_T2w"),
        "sub-1_acq-b_space-T1w_desc-x": images("space-T1w_T2w"),
        "sub-2_space-MNI_res-2_desc-x": images("T1w", "T2w"),
    }
    assert across_spaces(of_spaces, ("T1w", "T2w")) == {
        "sub-1_acq-a_desc-x": images("T1w", "space-T1w_T2w"),
        "sub-1_acq-b_desc-x": images("space-T1w_T2w"),
        "sub-2_space-MNI_res-2_desc-x": images("T1w", "T2w"),
    }
    assert of_spaces["sub-1_acq-a_desc-x"] == images("T1w")


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    message = r"find inputs: expected a BIDS dataset, a folder with dataset_description\.json, received none$"
    for source in (tmp_path, tmp_path / "sub-01" / "anat" / "sub-01_T2w.nii.gz", tmp_path / "nowhere"):
        with pytest.raises(InputError, match=message):
            find_bids(source, tmp_path / "out")
    with pytest.raises(
        InputError, match=r"expected an output folder other than the input, received the same"
    ):
        find_bids(tmp_path, tmp_path)
