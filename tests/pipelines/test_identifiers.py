"""What must not get out of a file does not: into no result, no message, no log."""

import gzip
import logging
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset

from kseg.pipelines.dicom_inputs import find_dicom_series
from kseg.pipelines.provenance import Provenance
from kseg.pipelines.scan_input import open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import SegmentedVolume
from kseg.pipelines.segmentation_files import write_segmentation
from kseg.transforms.dicom_file import unheard
from kseg.transforms.errors import InputError

Save = Callable[..., list[Path]]
PROVENANCE = Provenance("brain", "0.1.0", "ab" * 32, ("background", "CSF", "GM", "WM"))
EVERYTHING = SegmentSettings(
    probabilities=True, reconstruction=True, recurrences=True, uncertainty=True, dicom_seg=True
)
VOXELS = np.random.default_rng(0).integers(1, 99, (20, 24, 3))


def malformed(_: int, dataset: Dataset) -> None:
    """Values that libraries warn about, and quote."""
    dataset.PatientName, dataset.PatientID = "SECRET^" + 70 * "X", 70 * "SECRET"
    dataset.add_new(0x00101010, "AS", "SECRET")
    dataset.InstanceCreatorUID = "SECRET"


def segment(path: Path, case: str, output: Path) -> list[Path]:
    scan = open_scan(path, case, EVERYTHING)
    shape = scan.kspace.shape
    probabilities = torch.rand(1, shape[0], 4, *shape[2:], generator=torch.Generator().manual_seed(0))
    segmented = SegmentedVolume(torch.ones(1, shape[0], *shape[2:]), probabilities.softmax(2))
    assert "SECRET" not in "".join(scan.notes)
    return write_segmentation(output / case, scan, segmented, EVERYTHING, PROVENANCE)


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_of_a_dicom_header_only_the_dicom_segmentation_tells(
    save_series: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with unheard():
        save_series(tmp_path / "in" / "t2", VOXELS, np.diag([1.0, 1.0, 3.0, 1.0]), change=malformed)
    caplog.set_level(logging.DEBUG)
    ((case, (path,)),) = find_dicom_series(tmp_path / "in", tmp_path / "out").items()
    files = segment(path, case, tmp_path / "out")
    assert len(files) == 6
    telling = [file.name for file in files if b"SECRET" in content(file)]
    assert telling == ["t2_seg.dcm"]
    assert "SECRET" not in caplog.text + "".join(capfd.readouterr())


def refusal(path: Path) -> str:
    """What is said of a scan that cannot be used; nothing if it can."""
    try:
        open_scan(path, "a", SegmentSettings())
    except InputError as error:
        return str(error)
    return ""


def test_errors_about_a_dicom_file_tell_nothing_of_its_header(save_series: Save, tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS, np.diag([1.0, 1.0, 3.0, 1.0]))
    whole = paths[1].read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in generator.integers(132, whole.index(b"MONOCHROME2"), 3):
            damaged[at] = generator.integers(256)
        paths[1].write_bytes(bytes(damaged[: generator.integers(140, len(whole))]))
        messages = [refusal(path) for (path,) in find_dicom_series(tmp_path, tmp_path / "out").values()]
        assert "SECRET" not in "".join(messages)


def test_of_a_nifti_header_nothing_but_the_grid_is_kept(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS.astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0]))
    header = image.header
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        header[field] = b"SECRET"
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"SECRET"))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert content(tmp_path / "a.nii.gz").count(b"SECRET") == 5
    files = segment(tmp_path / "a.nii.gz", "a", tmp_path / "out")
    assert len(files) == 5
    assert not [file.name for file in files if b"SECRET" in content(file)]
