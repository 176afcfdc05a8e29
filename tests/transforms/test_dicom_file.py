"""Elements and pixels of single files: what is parsed, what is said of damage, what is never said."""

import locale
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from kseg.transforms.dicom_file import is_dicom, read_elements, read_pixels, unheard
from kseg.transforms.errors import InputError

Save = Callable[..., list[Path]]
VOXELS = np.random.default_rng(0).integers(-1000, 1000, (16, 12, 1))
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


@pytest.fixture
def image(save_series: Save, tmp_path: Path) -> Path:
    """A file with one slice."""
    return save_series(tmp_path, VOXELS, AFFINE)[0]


def save_in(path: Path, syntax: pydicom.uid.UID) -> None:
    """Write a file again in another uncompressed transfer syntax."""
    dataset, fresh = pydicom.dcmread(path), Dataset()
    fresh.update(dataset)
    if not syntax.is_little_endian:
        fresh.PixelData = dataset.pixel_array.astype(">i2").tobytes()
    fresh.file_meta = dataset.file_meta
    fresh.file_meta.TransferSyntaxUID = syntax
    fresh.save_as(path, enforce_file_format=True)


def test_dicom_is_known_by_its_content(image: Path, tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no DICOM " * 50)
    (tmp_path / "short").write_bytes(bytes(128) + b"DI")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(image)
    (tmp_path / "device").symlink_to("/dev/zero")
    assert is_dicom(image)
    assert is_dicom(tmp_path / "link")
    names = ("text.dcm", "short", "nowhere", ".", "pipe", "device")
    assert not any(is_dicom(tmp_path / name) for name in names)


def test_elements_become_plain_values_and_missing_ones_none(image: Path) -> None:
    keywords = (
        "Rows",
        "PixelSpacing",
        "Modality",
        "EchoTime",
        "InstanceNumber",
        "ImageType",
        "SliceLocation",
    )
    assert read_elements(image, keywords) == {
        "Rows": 12,
        "PixelSpacing": [1.0, 1.0],
        "Modality": "MR",
        "EchoTime": 80.0,
        "InstanceNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "SliceLocation": None,
    }


def test_what_comes_behind_the_last_element_is_not_needed(image: Path) -> None:
    content = image.read_bytes()
    image.write_bytes(content[: content.index(b"MONOCHROME2")])
    assert read_elements(image, ("SeriesInstanceUID",)) == {"SeriesInstanceUID": "1.2.3.4"}


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
    ],
)
def test_pixels_are_the_same_in_every_transfer_syntax(syntax: pydicom.uid.UID, image: Path) -> None:
    dataset = pydicom.dcmread(image)
    if syntax.is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(image)
    else:
        save_in(image, syntax)
    assert pydicom.dcmread(image).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_pixels(image), VOXELS[..., 0].T)


@pytest.fixture
def own_locale() -> Iterator[None]:
    """Keep the locale for the other tests: ITK leaves C behind, with which texts would be read as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("own_locale")
@pytest.mark.parametrize(("name", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_what_other_software_has_compressed_is_read(
    name: str, syntax: str, image: Path, tmp_path: Path
) -> None:
    reader, writer = sitk.ImageFileReader(), sitk.ImageFileWriter()
    reader.SetFileName(str(image))
    writer.SetFileName(str(tmp_path / "compressed.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(name)
    writer.Execute(reader.Execute())
    assert pydicom.dcmread(tmp_path / "compressed.dcm").file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_pixels(tmp_path / "compressed.dcm"), VOXELS[..., 0].T)


def test_pixels_are_rescaled(save_series: Save, tmp_path: Path) -> None:
    def rescale(_: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5, -7

    (path,) = save_series(tmp_path, VOXELS, AFFINE, change=rescale)
    np.testing.assert_array_equal(read_pixels(path), 0.5 * VOXELS[..., 0].T - 7)
    itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
    np.testing.assert_array_equal(read_pixels(path), itk)


def refused(path: Path, expected: str, received: str) -> None:
    with pytest.raises(
        InputError, match=rf"{path.name}: read DICOM: expected {expected}, received {received}$"
    ):
        read_pixels(path)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("Dear colleague, " * 50)
    (tmp_path / "empty.dcm").touch()
    refused(tmp_path / "text.dcm", "a DICOM file", "a file of another kind")
    refused(tmp_path / "empty.dcm", "a file with content", "an empty file")
    with pytest.raises(InputError, match=r"gone\.dcm: read DICOM: expected a file, received No such file"):
        read_elements(tmp_path / "gone.dcm", ("Rows",))


def test_truncation_anywhere_is_named(image: Path) -> None:
    content = image.read_bytes()
    pixels = content.index(VOXELS[..., 0].T.astype("<i2").tobytes())
    for length in (140, 400, pixels - 20, pixels, pixels + 10, len(content) - 2):
        image.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"0000\.dcm: read DICOM: expected .*, received ") as caught:
            read_pixels(image)
        assert "SECRET" not in str(caught.value)


def test_truncated_compressed_pixels_are_named(image: Path) -> None:
    dataset = pydicom.dcmread(image)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.save_as(image)
    image.write_bytes(image.read_bytes()[:-30])
    with unheard():
        refused(image, "an image", "none, or a file that was cut off")


def test_compressions_that_nothing_here_can_undo(image: Path) -> None:
    dataset = pydicom.dcmread(image)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.save_as(image)
    known = r"pixels that are not compressed, or as RLE Lossless, JPEG-LS .*"
    refused(image, known, "MPEG-4 AVC/H.264 High Profile / Level 4.1")
    dataset.file_meta.TransferSyntaxUID = "1.2.3.77"
    with unheard():
        dataset.save_as(image)
    refused(image, known, "another transfer syntax")


@pytest.mark.parametrize(
    ("keyword", "value", "expected", "received"),
    [
        ("BitsAllocated", 12, "intact pixels in Explicit VR Little Endian", "ValueError"),
        ("RescaleSlope", 1e300, "finite values", "a rescale slope or intercept beyond float32"),
        ("NumberOfFrames", 2, r"one frame \(row, column\) of grey values", r"shape \(2, 6, 16\)"),
    ],
)
def test_headers_that_do_not_fit_the_pixels(
    keyword: str, value: float, expected: str, received: str, image: Path
) -> None:
    dataset = pydicom.dcmread(image)
    setattr(dataset, keyword, value)
    if keyword == "NumberOfFrames":
        dataset.Rows = 6
    dataset.save_as(image)
    refused(image, expected, received)


def test_a_damaged_header_is_named(image: Path) -> None:
    save_in(image, DeflatedExplicitVRLittleEndian)
    image.write_bytes(image.read_bytes()[:-80])
    with pytest.raises(
        InputError, match=r"0000\.dcm: read DICOM: expected an intact header, received error$"
    ):
        read_elements(image, ("Rows",))


def test_what_libraries_say_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom.base")]
    with unheard():
        warnings.warn("SECRET", UserWarning, stacklevel=1)
        for logger in loggers:
            logger.error("SECRET")
    assert caplog.text == ""
    loggers[1].error("heard again")
    assert "heard again" in caplog.text
