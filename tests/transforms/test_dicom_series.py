"""Series as volumes: on the grid that ITK sees, voxel by voxel, and what makes no volume."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kseg.transforms.dicom_series import read_dicom_series, series_files
from kseg.transforms.errors import InputError

Save = Callable[..., list[Path]]
SHAPE = (16, 12, 5)
VOXELS = np.random.default_rng(0).integers(0, 1000, SHAPE)


def rotation(x_deg: float, y_deg: float, z_deg: float) -> NDArray[np.float64]:
    a, b, c = np.deg2rad([x_deg, y_deg, z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def grid(turn: NDArray[np.float64], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Affine (column, row, slice) -> RAS of a right-handed grid in DICOM's own coordinates."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ turn @ np.diag(spacing_mm)
    affine[:3, 3] = 31.4, -27.2, 12.7
    return affine


AXIAL = grid(np.eye(3), (1.0, 1.0, 3.0))
OBLIQUE = grid(rotation(21, -13, 34), (0.9, 1.1, 4.4))
SAGITTAL = grid(np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) @ rotation(5, 3, 2), (0.7, 1.3, 2.5))


def shuffled(index: int) -> str:
    """Names whose order is not that of the slices; no suffix."""
    return f"IM{(7 * index + 3) % 5:04d}"


def read_by_itk(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Voxels (column, row, slice) and affine to RAS, as ITK reads the series."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("affine", [AXIAL, OBLIQUE, SAGITTAL], ids=["axial", "oblique", "sagittal"])
def test_voxels_lie_where_they_were_written_and_where_itk_sees_them(
    affine: NDArray[np.float64], save_series: Save, tmp_path: Path
) -> None:
    paths = save_series(tmp_path, VOXELS, affine, names=shuffled)
    series = read_dicom_series(paths[2])
    np.testing.assert_array_equal(series.volume.array, VOXELS)
    assert series.volume.array.dtype == np.float32
    np.testing.assert_allclose(series.volume.affine, affine, atol=1e-6)
    assert series.files == tuple(paths)
    itk_voxels, itk_affine = read_by_itk(tmp_path)
    np.testing.assert_array_equal(series.volume.array, itk_voxels)
    np.testing.assert_allclose(series.volume.affine, itk_affine, atol=1e-6)


def test_slices_are_sorted_by_position_whatever_their_numbers_say(save_series: Save, tmp_path: Path) -> None:
    def renumber(index: int, dataset: Dataset) -> None:
        dataset.InstanceNumber = 99 - index

    forward = read_dicom_series(save_series(tmp_path / "a", VOXELS, OBLIQUE, change=renumber)[0])
    downward = OBLIQUE @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 4], [0, 0, 0, 1]])
    backward = read_dicom_series(save_series(tmp_path / "b", VOXELS[..., ::-1], downward)[0])
    np.testing.assert_array_equal(forward.volume.array, VOXELS)
    np.testing.assert_array_equal(backward.volume.array, VOXELS)
    np.testing.assert_allclose(backward.volume.affine, OBLIQUE, atol=1e-6)


def test_slices_that_are_shifted_along_the_plane_make_a_sheared_volume(
    save_series: Save, tmp_path: Path
) -> None:
    sheared = OBLIQUE.copy()
    sheared[:3, 2] += 0.8 * OBLIQUE[:3, 0]
    series = read_dicom_series(save_series(tmp_path, VOXELS, sheared)[0])
    np.testing.assert_allclose(series.volume.affine, sheared, atol=1e-6)


def test_each_slice_has_its_own_rescale(save_series: Save, tmp_path: Path) -> None:
    def rescale(index: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = index + 0.5, -index

    array = read_dicom_series(save_series(tmp_path, VOXELS, AXIAL, change=rescale)[0]).volume.array
    np.testing.assert_array_equal(array, VOXELS * (np.arange(5) + 0.5) - np.arange(5))
    np.testing.assert_array_equal(array, read_by_itk(tmp_path)[0])


def test_a_single_slice_is_as_thick_as_it_says(save_series: Save, tmp_path: Path) -> None:
    (path,) = save_series(tmp_path, VOXELS[..., :1], OBLIQUE)
    np.testing.assert_allclose(read_dicom_series(path).volume.affine, OBLIQUE, atol=1e-6)

    def thin(_: int, dataset: Dataset) -> None:
        del dataset.SliceThickness

    (path,) = save_series(tmp_path, VOXELS[..., :1], OBLIQUE, change=thin)
    refused(path, "a positive SliceThickness of a single slice", "None")


def test_a_series_is_the_files_of_one_uid_in_a_folder(save_series: Save, tmp_path: Path) -> None:
    wanted = save_series(tmp_path, VOXELS, AXIAL, names="a{}".format)
    save_series(tmp_path, VOXELS, AXIAL, uid="1.2.5", names="b{}".format)
    save_series(tmp_path / "elsewhere", VOXELS, AXIAL, names="a{}".format)
    (tmp_path / "README").write_text("scans")
    (tmp_path / "cut.dcm").write_bytes(wanted[0].read_bytes()[:150])
    (tmp_path / ".a0").write_bytes(wanted[0].read_bytes())
    assert series_files(wanted[3]) == wanted
    np.testing.assert_array_equal(read_dicom_series(wanted[3]).volume.array, VOXELS)


def refused(path: Path, expected: str, received: str) -> None:
    with pytest.raises(
        InputError, match=rf"{path.name}: read DICOM: expected {expected}, received {received}$"
    ):
        read_dicom_series(path)


def test_a_missing_slice(save_series: Save, tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS, OBLIQUE)
    paths[3].unlink()
    received = r"8\.8 mm between 0002\.dcm and 0004\.dcm; is a slice missing\?"
    refused(paths[0], r"slices 4\.4 mm apart", received)


def test_two_echoes(save_series: Save, tmp_path: Path) -> None:
    def second(_: int, dataset: Dataset) -> None:
        dataset.EchoTime = 20.0

    first = save_series(tmp_path, VOXELS, OBLIQUE, names="a{}".format)[0]
    save_series(tmp_path, VOXELS, OBLIQUE, names="b{}".format, change=second)
    received = r"[ab]0 and [ab]0 at the same, of echo times (80\.0 and 20\.0|20\.0 and 80\.0) ms"
    refused(first, "one image at each position", received)


def test_the_same_slice_twice(save_series: Save, tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS, OBLIQUE)
    (tmp_path / "copy.dcm").write_bytes(paths[2].read_bytes())
    refused(paths[0], "one image at each position", r"(copy|0002)\.dcm and (copy|0002)\.dcm at the same")


def last(**elements: object) -> Callable[[int, Dataset], None]:
    """Changes the last slice."""

    def change(index: int, dataset: Dataset) -> None:
        if index == SHAPE[2] - 1:
            for keyword, value in elements.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)

    return change


@pytest.mark.parametrize(
    ("elements", "expected", "received"),
    [
        ({"Rows": 6}, r"a series of one size \(row, column\)", ""),
        ({"PixelSpacing": [1.0, 1.2]}, "a series of one pixel spacing", ""),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "a series of one orientation", ""),
        ({"ImagePositionPatient": None}, r"ImagePositionPatient of 3 number\(s\)", "none"),
        ({"ImagePositionPatient": [1.0, 2.0]}, r"ImagePositionPatient of 3 number\(s\)", r"\[1\.0, 2\.0\]"),
        ({"PixelSpacing": [0.0, 0.0]}, "a positive PixelSpacing", r"\[0\.0, 0\.0\]"),
        ({"Rows": None}, r"Rows of 1 number\(s\)", "none"),
        (
            {"ImageOrientationPatient": [1, 0, 0, 0.5, 1, 0]},
            "perpendicular directions of length 1",
            r"\[1\.0, 0\.0, 0\.0, 0\.5, 1\.0, 0\.0\]",
        ),
        ({"Modality": "CT"}, "modality MR", "CT"),
        ({"Modality": None}, "modality MR", "none"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1"},
            "MR Image Storage with one frame",
            "Enhanced MR Image Storage",
        ),
        (
            {"NumberOfFrames": 5},
            "MR Image Storage with one frame",
            "MR Image Storage with 5 frames",
        ),
        ({"SOPClassUID": "1.2.3.77"}, "MR Image Storage with one frame", "another class"),
        ({"SOPClassUID": None}, "MR Image Storage with one frame", "none"),
        ({"PhotometricInterpretation": "RGB"}, "grey values, MONOCHROME2", "RGB"),
        ({"PhotometricInterpretation": "SECRET JANE"}, "grey values, MONOCHROME2", "another"),
        ({"SamplesPerPixel": 3}, "one value per pixel", r"3\.0"),
    ],
)
def test_what_makes_no_volume(
    elements: dict[str, object], expected: str, received: str, save_series: Save, tmp_path: Path
) -> None:
    paths = save_series(tmp_path, VOXELS, AXIAL, change=last(**elements))
    of_series = expected.startswith("a series")
    received = received or r"another in 1 of 5 images, 0004\.dcm the first"
    with pytest.raises(InputError, match=rf"read DICOM: expected {expected}, received {received}$") as caught:
        read_dicom_series(paths[0])
    assert Path(caught.value.path) == (paths[0] if of_series else paths[-1])


def test_names_in_the_place_of_numbers_are_not_told(save_series: Save, tmp_path: Path) -> None:
    path = save_series(tmp_path, VOXELS, AXIAL)[0]
    path.write_bytes(path.read_bytes().replace(b"DS\x08\x001.0\\1.0 ", b"DS\x08\x00SECRET^J"))
    refused(path, r"PixelSpacing of 2 number\(s\)", "none")


def test_slices_in_a_line_span_no_volume(save_series: Save, tmp_path: Path) -> None:
    flat = AXIAL.copy()
    flat[:3, 2] = 3 * AXIAL[:3, 0] + 0.01 * AXIAL[:3, 2]
    refused(save_series(tmp_path, VOXELS, flat)[0], "one image at each position", ".* at the same")


def test_damage_of_one_file_is_told_of_that_file(save_series: Save, tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS, AXIAL)
    paths[3].write_bytes(paths[3].read_bytes()[:-50])
    with pytest.raises(
        InputError, match=r"0003\.dcm: read DICOM: expected intact pixels in Explicit VR Little"
    ):
        read_dicom_series(paths[0])


def test_an_image_without_a_series(save_series: Save, tmp_path: Path) -> None:
    def orphan(_: int, dataset: Dataset) -> None:
        del dataset.SeriesInstanceUID

    (path,) = save_series(tmp_path, VOXELS[..., :1], AXIAL, change=orphan)
    refused(path, r"an image of a series \(SeriesInstanceUID\)", "none")
