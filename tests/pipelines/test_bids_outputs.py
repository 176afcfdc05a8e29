"""Derivatives as the BIDS validator wants them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from kseg.pipelines.bids_outputs import derivative_name, write_dataset_files, write_sidecar
from kseg.pipelines.provenance import Provenance
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.nifti import write_nifti

PROVENANCE = Provenance("brain", "0.1.0", "ab" * 32, ("background", "CSF", "GM", "WM"))
ENDINGS = ("seg", "prob", "recon", "recurrences", "uncertainty")


@pytest.mark.parametrize(
    ("stem", "suffix"), [("sub-1_desc-T2w", "T2w"), ("sub-1_ses-a_acq-b_desc-preprocPDwkspace", "PDw")]
)
def test_names(stem: str, suffix: str) -> None:
    assert [derivative_name(stem, ending) for ending in ENDINGS] == [
        f"{stem}_dseg.nii.gz",
        f"{stem}_probseg.nii.gz",
        f"{stem}reconstruction_{suffix}.nii.gz",
        f"{stem}recurrences_probseg.nii.gz",
        f"{stem}_uncertainty.nii.gz",
    ]


def test_names_that_do_not_say_what_was_segmented() -> None:
    message = r"^BIDS name: expected entities that end in desc-.*T2w or the like, received sub-1_T2w$"
    with pytest.raises(ValueError, match=message):
        derivative_name("sub-1_T2w", "seg")


def said(folder: Path, ending: str, *sources: Path) -> dict[str, Any]:
    """What the sidecar of a result says; nothing if it has none."""
    files = write_sidecar(folder / f"a_{ending}.nii.gz", ending, sources, PROVENANCE.labels)
    assert files in ([], [folder / f"a_{ending}.json"])
    return json.loads(files[0].read_text()) if files else {}


def test_sidecars_name_the_scan_within_its_dataset(tmp_path: Path) -> None:
    kspace = Path("data", "set", "sourcedata", "sub-1", "ses-2", "anat", "sub-1_ses-2_T2w.h5")
    for ending in ("seg", "prob", "recon", "recurrences"):
        uri = "bids:raw:sourcedata/sub-1/ses-2/anat/sub-1_ses-2_T2w.h5"
        assert said(tmp_path, ending, kspace)["Sources"] == [uri]
    assert said(tmp_path, "uncertainty", kspace) == {}
    image = Path("x", "sub-1", "anat", "sub-1_T2w.nii")
    assert said(tmp_path, "seg", image)["SpatialReference"] == "bids:raw:sub-1/anat/sub-1_T2w.nii"
    assert said(tmp_path, "prob", image)["LabelMap"] == ["background", "CSF", "GM", "WM"]
    several = said(tmp_path, "seg", image, image.with_name("sub-1_FLAIR.nii"))
    assert several["Sources"] == [f"bids:raw:sub-1/anat/sub-1_{each}.nii" for each in ("T2w", "FLAIR")]
    assert several["SpatialReference"] == "bids:raw:sub-1/anat/sub-1_T2w.nii"


def test_the_description_says_what_made_it_of_what(tmp_path: Path) -> None:
    output = tmp_path / "derivatives" / "kseg"
    files = write_dataset_files(output, tmp_path, PROVENANCE)
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_dataset_files(output, tmp_path, PROVENANCE)] == before
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["DatasetLinks"] == {"raw": "../.."}
    (made,) = description["GeneratedBy"]
    assert made["Name"] == "kseg"
    assert made["Description"] == f"bundle brain 0.1.0, weights SHA-256 {'ab' * 32}"
    table = [line.split("\t") for line in (output / "dseg.tsv").read_text().splitlines()]
    assert table == [
        ["index", "name", "mapping"],
        ["0", "background", "0"],
        ["1", "CSF", "3"],
        ["2", "GM", "1"],
        ["3", "WM", "2"],
    ]


def write_derivatives(output: Path, stem: str) -> None:
    folder = output / "sub-1" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"prob": (4, 5, 3, 4), "recurrences": (4, 5, 3, 4, 2)}
    for ending in ENDINGS:
        path = folder / derivative_name(stem, ending)
        write_nifti(path, np.zeros(shapes.get(ending, (4, 5, 3)), np.uint8), np.eye(4))
        write_sidecar(path, ending, [Path("sub-1", "anat", "sub-1_T2w.nii.gz")], PROVENANCE.labels)


def validate(dataset: Path) -> list[dict[str, Any]]:
    """What the BIDS validator says, without its recommendations."""
    command = [Path(sys.executable).with_name("bids-validator-deno"), str(dataset), "--format", "json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(result.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"]


def test_the_validator_accepts_what_is_written_and_not_just_anything(tmp_path: Path) -> None:
    write_dataset_files(tmp_path, tmp_path.parent, PROVENANCE)
    for stem in ("sub-1_desc-T2w", "sub-1_desc-T2wkspace"):
        write_derivatives(tmp_path, stem)
    (tmp_path / "results.jsonl").write_text("{}\n")
    (tmp_path / "summary.json").write_text("{}\n")
    assert validate(tmp_path) == []
    (tmp_path / "sub-1" / "anat" / "sub-1_T2w_seg.nii.gz").write_bytes(b"anything")
    assert validate(tmp_path) != []


def make_dataset(folder: Path, save_kspace: Callable[..., Path]) -> list[Path]:
    """A dataset of an image and of k-space, which are the files that come back."""
    image = folder / "sub-01" / "anat" / "sub-01_T2w.nii.gz"
    kspace = folder / "sourcedata" / "sub-02" / "ses-1" / "anat" / "sub-02_ses-1_acq-fast_T2w.h5"
    image.parent.mkdir(parents=True)
    voxels = np.random.default_rng(0).random((18, 20, 3), dtype=np.float32)
    write_nifti(image, voxels, np.array([[-1, 0, 0, 9], [0, 0, -3, 4], [0, 1, 0, -7], [0, 0, 0, 1]]))
    save_kspace(kspace)
    (folder / "dataset_description.json").write_text('{"Name": "heads", "BIDSVersion": "1.10.0"}')
    (folder / "README.md").write_text("Heads of noise.\n")
    return [image, kspace]


def test_a_dataset_becomes_derivatives_that_name_its_scans(
    tiny_bundle: Path, save_kspace: Callable[..., Path], tmp_path: Path
) -> None:
    image, kspace = make_dataset(tmp_path, save_kspace)
    output = tmp_path / "derivatives" / "kseg"
    settings = SegmentSettings(
        probabilities=True, reconstruction=True, recurrences=True, uncertainty=True, bids=True
    )
    result = segment(tmp_path, output, str(tiny_bundle), settings)
    stems = {
        "sub-01/anat/sub-01_desc-T2w": image,
        "sub-02/ses-1/anat/sub-02_ses-1_acq-fast_desc-T2wkspace": kspace,
    }
    assert (sorted(result.done), result.failed) == (sorted(stems), {})
    assert validate(output) == validate(tmp_path) == []
    raw = output / json.loads((output / "dataset_description.json").read_text())["DatasetLinks"]["raw"]
    for stem, scan in stems.items():
        results = {ending: output / derivative_name(stem, ending) for ending in ENDINGS}
        for ending, path in results.items():
            sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
            if ending == "uncertainty":
                assert path.is_file()
                assert not sidecar.exists()
                continue
            (source,) = json.loads(sidecar.read_text())["Sources"]
            assert raw.joinpath(source.removeprefix("bids:raw:")).samefile(scan)
        labels = np.asarray(nibabel.load(results["seg"]).dataobj)
        assert labels.shape == (18, 20, 3)
        assert set(np.unique(labels)) <= {0, 1, 2, 3}
        probabilities = np.asarray(nibabel.load(results["prob"]).dataobj)
        np.testing.assert_array_equal(labels, probabilities.argmax(-1))
    mask = nibabel.load(output / "sub-01" / "anat" / "sub-01_desc-T2w_dseg.nii.gz")
    np.testing.assert_array_equal(mask.affine, nibabel.load(image).affine)
    assert segment(tmp_path, output, str(tiny_bundle), settings).before == sorted(stems)
