"""Which file is a segmentation, what lies beside it, and which reference it is compared with."""

from pathlib import Path

from kseg.pipelines.bids_outputs import derivative_name
from kseg.pipelines.find_segmentations import companion, find_image, find_segmentations, match_references

ENDINGS = ("prob", "recon", "recurrences", "uncertainty")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_segmentation_goes_before_a_plain_name_and_companions_are_left_aside(tmp_path: Path) -> None:
    touch(tmp_path, "a_seg.nii.gz", "a.nii.gz", *(f"a_{ending}.nii.gz" for ending in ENDINGS), "b.nii")
    assert find_segmentations(tmp_path) == {"a": [tmp_path / "a_seg.nii.gz"], "b": [tmp_path / "b.nii"]}


def test_derivatives_of_bids_are_found_and_their_companions_left_aside(tmp_path: Path) -> None:
    stem = "sub-1_desc-T2w"
    names = [f"sub-1/anat/{derivative_name(stem, ending)}" for ending in ("seg", *ENDINGS)]
    touch(tmp_path, *names, "dseg.tsv", f"sub-1/anat/{stem}_dseg.json")
    assert find_segmentations(tmp_path) == {f"sub-1/anat/{stem}": [tmp_path / names[0]]}
    beside = [companion(tmp_path, f"sub-1/anat/{stem}", ending) for ending in ENDINGS]
    assert beside == [tmp_path / name for name in names[1:]]


def test_both_names_of_one_case_are_ambiguous(tmp_path: Path) -> None:
    touch(tmp_path, "a_dseg.nii.gz", "a_seg.nii.gz")
    assert find_segmentations(tmp_path) == {"a": [tmp_path / "a_dseg.nii.gz", tmp_path / "a_seg.nii.gz"]}


def test_a_companion_lies_in_the_same_relative_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a_recon.nii.gz", "site/a_recon.nii", "site/a.nii.gz")
    assert companion(tmp_path, "site/a", "recon") == tmp_path / "site/a_recon.nii"
    assert companion(tmp_path, "site/a", "prob") is None


def test_an_image_has_the_name_of_the_case_or_its_contrast_behind(tmp_path: Path) -> None:
    touch(tmp_path, "site/a.nii.gz", "site/a_FLAIR.nii", "sub-1/anat/sub-1_FLAIR.nii.gz")
    assert find_image(tmp_path, "site/a") == tmp_path / "site/a.nii.gz"
    assert find_image(tmp_path, "site/a", "FLAIR") == tmp_path / "site/a_FLAIR.nii"
    assert find_image(tmp_path, "site/a", "T1w") is None
    case = "sub-1/anat/sub-1_desc-T1wT2wFLAIR"
    assert find_image(tmp_path, case, "FLAIR") == tmp_path / "sub-1/anat/sub-1_FLAIR.nii.gz"


def test_the_same_name_goes_before_the_same_entities() -> None:
    same, manual = Path("sub-1_desc-T2w_dseg.nii"), Path("sub-1_desc-manual_dseg.nii")
    references = {"sub-1/anat/sub-1_desc-T2w": [same], "sub-1/anat/sub-1_desc-manual": [manual]}
    cases = ["sub-1/anat/sub-1_desc-T2w", "sub-1/anat/sub-1_desc-T1w"]
    assert match_references(cases, references) == {cases[0]: [same], cases[1]: [same, manual]}
    del references["sub-1/anat/sub-1_desc-T2w"]
    assert match_references(cases, references) == {case: [manual] for case in cases}
    assert match_references(cases, {"sub-1/anat/sub-1": [manual]}) == {case: [manual] for case in cases}


def test_other_entities_other_folders_and_other_names_are_no_match() -> None:
    reference = [Path("reference.nii")]
    for name in ("sub-1/anat/sub-1_run-2", "sub-1/ses-1/anat/sub-1", "sub-2/anat/sub-2_desc-T2w"):
        assert match_references(["sub-1/anat/sub-1_desc-T2w"], {name: reference}) == {}
    # Outside of BIDS a name is a name.
    assert match_references(["a_desc-x"], {"a": reference, "a_desc-y": reference}) == {}
