import logging
import re
from pathlib import Path

import pytest

from kseg.pipelines.contrast_files import contrast_paths, find_contrasts
from kseg.pipelines.input_state import input_state
from kseg.transforms.errors import InputError

CONTRASTS = ("T1w", "T2w", "FLAIR")
NAMES = "{} NAME_T1w.nii.gz, NAME_T2w.nii.gz, NAME_FLAIR.nii.gz"


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
    assert item.state == input_state(item.files)[1]


def test_one_image_stands_for_those_beside_it(tmp_path: Path) -> None:
    touch(tmp_path, "a_T1w.nii.gz", "a_T2w.nii", "a_FLAIR.nii.gz", "b_T1w.nii.gz")
    expected = {"a": ["a_T1w.nii.gz", "a_T2w.nii", "a_FLAIR.nii.gz"]}
    for name in ("a_T2w.nii", "a_FLAIR.nii.gz"):
        assert found(tmp_path / name, tmp_path / "out") == expected


def test_an_image_of_no_contrast_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a_PDw.nii.gz")
    for name in ("a_PDw.nii.gz", "_T1w.nii.gz"):
        touch(tmp_path, name)
        message = f"{NAMES.format('find inputs: expected a name like')}, received {name}"
        with pytest.raises(InputError, match=f"{re.escape(message)}$"):
            find_contrasts(tmp_path / name, tmp_path / "out", CONTRASTS)


def test_what_has_no_name_besides_its_contrast_is_no_case(tmp_path: Path) -> None:
    # Its results would lie in the folder above, or be called as those of another case.
    touch(tmp_path, *(f"{start}_{each}.nii.gz" for start in ("", "x/", "x") for each in CONTRASTS))
    assert found(tmp_path, tmp_path / "out") == {"x": [f"x_{each}.nii.gz" for each in CONTRASTS]}


def test_images_of_other_names_are_left_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kseg")
    touch(tmp_path, "a_T1w.nii.gz", "a_T1w.json", "earlier/a_seg.nii.gz", "earlier/a_prob.nii.gz")
    assert list(found(tmp_path, tmp_path / "out")) == ["a"]
    assert caplog.messages == []
    touch(tmp_path, "lower_t1.nii.gz", "p9/T1w.nii")
    assert list(found(tmp_path, tmp_path / "out")) == ["a"]
    assert caplog.messages == [f"{tmp_path}: other images left aside (2): lower_t1.nii.gz, p9/T1w.nii"]
    touch(tmp_path, "p9/T2w.nii", "p9/FLAIR.nii")
    assert list(found(tmp_path, tmp_path / "out")) == ["a"]
    first = "lower_t1.nii.gz, p9/FLAIR.nii, p9/T1w.nii, ..."
    assert caplog.messages[1:] == [f"{tmp_path}: other images left aside (4): {first}"]


@pytest.mark.parametrize("bids", [False, True])
def test_images_of_other_names_alone_are_an_error(bids: bool, tmp_path: Path) -> None:
    touch(tmp_path, "dataset_description.json", "a_seg.nii.gz")
    assert find_contrasts(tmp_path, tmp_path / "out", CONTRASTS, bids=bids) == []
    touch(tmp_path, "p8/t1.nii", "p9/T1w.nii.gz")
    expected = NAMES.format("find inputs: expected at least one case with")
    where = " in the anat folder of a subject" if bids else ""
    message = f"{tmp_path}: {expected}{where}, received other images (2): p8/t1.nii, p9/T1w.nii.gz"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        find_contrasts(tmp_path, tmp_path / "out", CONTRASTS, bids=bids)


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


def test_registered_images_of_a_bids_dataset_are_a_case_with_that_of_their_space(tmp_path: Path) -> None:
    def anat(subject: str, *names: str) -> None:
        touch(tmp_path, *(f"{subject}/anat/{subject}_{name}.nii.gz" for name in names))

    touch(tmp_path, "dataset_description.json")
    anat("sub-1", "T1w", "space-T1w_T2w", "space-T1w_FLAIR")
    anat("sub-2", *CONTRASTS, *(f"space-MNI152_{each}" for each in CONTRASTS))
    anat("sub-3", *CONTRASTS, "space-MNI152_T1w")
    anat("sub-4", "T1w", "T2w", "space-T1w_T2w", "space-T1w_FLAIR")
    anat("sub-5", *CONTRASTS, "space-T1w_T2w", "space-T1w_FLAIR")
    cases = find_contrasts(tmp_path, tmp_path / "out", CONTRASTS, bids=True)
    assert {item.case.rpartition("/")[2]: [path.name for path in item.files] for item in cases} == {
        "sub-1_desc-T1wT2wFLAIR": [
            f"sub-1_{each}.nii.gz" for each in ("T1w", "space-T1w_T2w", "space-T1w_FLAIR")
        ],
        "sub-2_desc-T1wT2wFLAIR": [f"sub-2_{each}.nii.gz" for each in CONTRASTS],
        "sub-2_space-MNI152_desc-T1wT2wFLAIR": [f"sub-2_space-MNI152_{each}.nii.gz" for each in CONTRASTS],
        "sub-3_desc-T1wT2wFLAIR": [f"sub-3_{each}.nii.gz" for each in CONTRASTS],
        "sub-3_space-MNI152_desc-T1wT2wFLAIR": ["sub-3_space-MNI152_T1w.nii.gz"],
        "sub-4_desc-T1wT2wFLAIR": [
            f"sub-4_{each}.nii.gz" for each in ("T1w", "T2w", "space-T1w_T2w", "space-T1w_FLAIR")
        ],
        "sub-5_desc-T1wT2wFLAIR": [f"sub-5_{each}.nii.gz" for each in CONTRASTS],
        "sub-5_space-T1w_desc-T1wT2wFLAIR": [
            f"sub-5_{each}.nii.gz" for each in ("T1w", "space-T1w_T2w", "space-T1w_FLAIR")
        ],
    }
    of = {item.case.rpartition("/")[2]: item for item in cases}
    registered = of["sub-1_desc-T1wT2wFLAIR"]
    assert contrast_paths(registered, CONTRASTS) == list(registered.files)
    message = (
        "sub-4_T1w.nii.gz: find contrasts: expected one image sub-4_T2w beside it, "
        "received sub-4_T2w.nii.gz, sub-4_space-T1w_T2w.nii.gz"
    )
    with pytest.raises(InputError, match=f"/{re.escape(message)}$"):
        contrast_paths(of["sub-4_desc-T1wT2wFLAIR"], CONTRASTS)


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
