"""`kseg evaluate` and `kseg report` as a user meets them: any bundle's classes, lesions, BIDS derivatives."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.transforms.nifti import write_nifti

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])


def lesions(*places: int) -> NDArray[np.uint8]:
    labels = np.zeros((20, 10, 6), np.uint8)
    for place in places:
        labels[place : place + 2, 3:6, 2:4] = 1
    return labels


@pytest.fixture
def lesion_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of one class besides the background; what else it is does not matter here."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "lesion_bundle"))
    metadata = bundle / "configs" / "metadata.json"
    content = json.loads(metadata.read_text())
    content["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "background", "1": "lesion"}
    metadata.write_text(json.dumps(content))
    return bundle


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two cases: one with two lesions, of which one is found, and one without, where one is made up."""
    for case, found, there in (("a", (2, 14), (2, 8)), ("b", (5,), ())):
        for folder, name, places in (("out", f"{case}_seg", found), ("labels", case, there)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_nifti(tmp_path / folder / f"{name}.nii.gz", lesions(*places), AFFINE)
    (tmp_path / "images").mkdir()
    image = np.random.default_rng(0).random((20, 10, 6)).astype(np.float32)
    write_nifti(tmp_path / "images" / "a_FLAIR.nii.gz", image, AFFINE)
    return tmp_path


@pytest.mark.usefixtures("folders")
def test_lesions_of_a_bundle_are_counted_and_reported(lesion_bundle: Path, tmp_path: Path, run) -> None:
    ended = run("evaluate", "out", "labels", "--bundle", lesion_bundle, "--lesions", "lesion")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "class     Dice  pooled    IoU  pooled  HD mm  HD95 mm  cases  missed",
        "lesion   0.250   0.400  0.167   0.250   6.00     6.00      2       0",
        "average  0.250   0.400  0.167   0.250   6.00     6.00",
        "lesions    TPR  pooled  FP per case  found  of  cases  without",
        "lesion   0.500   0.500         1.00      1   2      2        1",
        "written: metrics.csv",
    ]
    options = ("--images", "images", "--contrast", "FLAIR", "--references", "labels")
    ended = run("report", "out", "metrics.csv", *options)
    assert (ended.code, ended.out) == (0, "written: report.html\n")
    assert "1 of 2 lesions found" in (tmp_path / "report.html").read_text()


@pytest.mark.usefixtures("folders")
def test_the_classes_are_those_of_the_bundle(lesion_bundle: Path, tmp_path: Path, run) -> None:
    run("evaluate", "out", "labels", "--bundle", lesion_bundle)
    assert {line.split(",")[2] for line in (tmp_path / "metrics.csv").read_text().splitlines()[1:]} == {
        "lesion"
    }
    run("evaluate", "out", "labels")
    assert "GM" in (tmp_path / "metrics.csv").read_text()


@pytest.mark.usefixtures("folders")
def test_the_classes_are_those_of_the_bundle_that_made_the_segmentations(tmp_path: Path, run) -> None:
    records = [
        {"case": "a", "labels": ["background", "cyst"]},
        {"case": "b", "status": "failed", "labels": ["background", "GM"]},
    ]
    (tmp_path / "out/results.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    assert run("evaluate", "out", "labels").out.splitlines()[1].startswith("cyst  ")
    assert "GM" in run("evaluate", "out", "labels", "--bundle", "brain_kspace_segmentation").out
    with (tmp_path / "out/results.jsonl").open("a") as file:
        file.write('{"case": "c", "labels": ["background", "CSF"]}\n')
    ended = run("evaluate", "out", "labels")
    assert ended.code == 2
    expected = "out: evaluate: expected segmentations of one kind of bundle, or --bundle, received"
    assert f"{expected} background, CSF and background, cyst" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("evaluate", "out", "labels", "--lesions", "cyst"),
            "lesions: expected classes of CSF, GM, WM, received cyst",
        ),
        (
            ("evaluate", "out", "labels", "--smallest-lesion", "1"),
            "--smallest-lesion: expected --lesions CLASS beside it, received none",
        ),
        (("evaluate", "out", "labels", "--bundle", "none_such"), "none_such: read bundle: expected one of "),
        (
            ("report", "out", "metrics.csv", "--contrast", "FLAIR"),
            "--contrast: expected --images FOLDER beside it, received none",
        ),
    ],
)
@pytest.mark.usefixtures("folders")
def test_wrong_usage_is_told(arguments: tuple[str, ...], message: str, tmp_path: Path, run) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"kseg: {message}")
    assert not (tmp_path / "metrics.csv").exists()


def test_from_a_bids_dataset_to_a_page(
    small_heads: list[Path], tiny_bundle: Path, tmp_path: Path, run
) -> None:
    run("simulate", small_heads[0].parent, "scans")
    (name, *_) = sorted(path.name.removesuffix(".nii.gz") for path in (tmp_path / "scans/images").iterdir())
    places = {folder: tmp_path / folder / "sub-1" / "anat" for folder in ("data", "manual")}
    for place in places.values():
        place.mkdir(parents=True)
    (tmp_path / "data" / "dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.10.0"}')
    shutil.copy(tmp_path / f"scans/images/{name}.nii.gz", places["data"] / "sub-1_T2w.nii.gz")
    shutil.copy(tmp_path / f"scans/labels/{name}.nii.gz", places["manual"] / "sub-1_desc-manual_dseg.nii.gz")
    beside = ("--reconstruction", "--recurrences", "--probabilities", "--uncertainty")
    ended = run("segment", "data", "out", "--bids", "--bundle", tiny_bundle, "--fraction", "0.5", *beside)
    assert (ended.code, ended.out) == (0, "segmented: 1, failed: 0\n"), ended.err
    ended = run("evaluate", "out", "manual")
    assert ended.code == 0, ended.err
    # Nothing else of the derivatives was taken for a segmentation, and the probabilities were found.
    assert ended.err == ""
    assert ended.out.splitlines()[-2].startswith("expected calibration error: 0.")
    rows = (tmp_path / "metrics.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"sub-1/anat/sub-1_desc-T2w"}
    ended = run("report", "out", "metrics.csv", "--references", "manual")
    assert (ended.code, ended.out) == (0, "written: report.html\n")
    page = (tmp_path / "report.html").read_text()
    assert "Probability of each class in the first pass" in page
