"""DICOM segmentations: voxel by voxel on the grid of the series, the same bytes each time, no more of a patient
than the standard asks for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from kseg import __version__
from kseg.pipelines.dicom_seg import write_dicom_seg
from kseg.pipelines.provenance import Provenance
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.dicom_series import read_dicom_series
from kseg.transforms.errors import InputError

Save = Callable[..., list[Path]]
SHAPE = (16, 12, 5)
OBLIQUE = np.array(
    [[-0.9, 0.1, 0.2, 31.4], [0.1, -1.1, 0.5, -27.2], [0.05, 0.3, 4.2, 12.7], [0.0, 0.0, 0.0, 1.0]]
)
PROVENANCE = Provenance("brain", "0.1.0", "ab" * 32, ("background", "CSF", "GM", "WM"))


def orthogonal(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest grid without shear."""
    result = affine.copy()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, v = np.linalg.svd(affine[:3, :3] / spacing)
    result[:3, :3] = u @ v * spacing
    return result


@pytest.fixture
def files(save_series: Save, tmp_path: Path) -> tuple[Path, ...]:
    """An oblique series whose names are not in the order of its slices."""
    voxels = np.random.default_rng(0).integers(1, 100, SHAPE)
    paths = save_series(tmp_path / "in", voxels, orthogonal(OBLIQUE), names=lambda i: f"IM{(3 * i + 1) % 5}")
    return read_dicom_series(paths[0]).files


def some_labels() -> NDArray[np.uint8]:
    labels = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
    labels[..., 3] = 0
    return labels


def labels_of(seg: Any, files: tuple[Path, ...]) -> NDArray[np.uint8]:
    """Labels (column, row, slice) as highdicom finds them for the images of the series."""
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in files]
    frames = seg.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    return np.asarray(frames).transpose(2, 1, 0)


def test_labels_come_back_on_the_images_that_they_were_made_of(
    files: tuple[Path, ...], tmp_path: Path
) -> None:
    write_dicom_seg(tmp_path / "a_seg.dcm", some_labels(), files, PROVENANCE)
    seg = highdicom.seg.segread(tmp_path / "a_seg.dcm")
    np.testing.assert_array_equal(labels_of(seg, files), some_labels())


def test_labels_lie_where_the_series_lies(files: tuple[Path, ...], tmp_path: Path) -> None:
    write_dicom_seg(tmp_path / "a_seg.dcm", some_labels(), files, PROVENANCE)
    volume = highdicom.seg.segread(tmp_path / "a_seg.dcm").get_volume(combine_segments=True)
    at = np.argwhere(volume.array)
    millimetres = volume.map_indices_to_reference(at) * (-1, -1, 1)
    indices = np.linalg.inv(orthogonal(OBLIQUE)) @ np.column_stack([millimetres, np.ones(len(at))]).T
    np.testing.assert_allclose(indices[:3], indices[:3].round(), atol=1e-4)
    back = np.zeros(SHAPE, np.uint8)
    back[tuple(indices[:3].round().astype(int))] = volume.array[tuple(at.T)]
    np.testing.assert_array_equal(back, some_labels())


def test_segments_are_coded_and_say_who_made_them(files: tuple[Path, ...], tmp_path: Path) -> None:
    write_dicom_seg(tmp_path / "a_seg.dcm", some_labels(), files, PROVENANCE)
    seg = highdicom.seg.segread(tmp_path / "a_seg.dcm")
    assert seg.SOPClassUID == SegmentationStorage
    described = [seg.get_segment_description(number) for number in (1, 2, 3)]
    assert [each.segmented_property_type.value for each in described] == [
        "65216001",
        "389081007",
        "389080008",
    ]
    assert [each.segmented_property_category.value for each in described] == [
        "91720002",
        "85756007",
        "85756007",
    ]
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "kseg brain"
    assert algorithm.AlgorithmVersion == f"{__version__}, bundle 0.1.0"
    assert (seg.Manufacturer, seg.SoftwareVersions, seg.DeviceSerialNumber) == (
        "kseg",
        __version__,
        "ab" * 32,
    )
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == ("1.2.3", "1.2.9")
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.4"
    assert len(series.ReferencedInstanceSequence) == 5


def test_the_same_input_gives_the_same_bytes_and_other_input_another_object(
    files: tuple[Path, ...], tmp_path: Path
) -> None:
    other_labels = some_labels()
    other_labels[0, 0, 0] ^= 1
    other_weights = Provenance("brain", "0.1.0", "cd" * 32, PROVENANCE.labels)
    for name, labels, provenance in (
        ("a", some_labels(), PROVENANCE),
        ("b", some_labels(), PROVENANCE),
        ("c", other_labels, PROVENANCE),
        ("d", some_labels(), other_weights),
    ):
        write_dicom_seg(tmp_path / f"{name}.dcm", labels, files, provenance)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    objects = [pydicom.dcmread(tmp_path / f"{name}.dcm") for name in "acd"]
    assert len({each.SOPInstanceUID for each in objects}) == 3
    assert len({each.SeriesInstanceUID for each in objects}) == 3
    for each in objects:
        assert (each.ContentDate, each.ContentTime) == ("20240131", "123000")
        assert all(
            element.value.startswith(("1.2.", "2.25."))
            for element in each.iterall()
            if element.VR == "UI" and element.value
        )


def test_dates_come_from_the_series_and_are_needed_by_nobody(save_series: Save, tmp_path: Path) -> None:
    def undate(keywords: tuple[str, ...]) -> Callable[[int, Dataset], None]:
        def change(_: int, dataset: Dataset) -> None:
            for keyword in keywords:
                delattr(dataset, keyword)

        return change

    content, series = ("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime")
    for gone, expected in (
        (content, ("20240131", "121500")),
        (content + series, ("20240131", "120000")),
        ((*content, *series, "StudyDate", "StudyTime"), ("19000101", "000000")),
    ):
        paths = save_series(tmp_path / "in", np.ones((4, 4, 2)), np.eye(4), change=undate(gone))
        write_dicom_seg(tmp_path / "a.dcm", np.ones((4, 4, 2), np.uint8), paths, PROVENANCE)
        seg = pydicom.dcmread(tmp_path / "a.dcm")
        assert (seg.ContentDate, seg.ContentTime) == expected


def test_of_the_patient_it_holds_what_the_standard_requires(files: tuple[Path, ...], tmp_path: Path) -> None:
    write_dicom_seg(tmp_path / "a.dcm", some_labels(), files, PROVENANCE)
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    told = {element.keyword for element in seg.iterall() if "SECRET" in str(element.value)}
    told -= {element.keyword for element in seg.iterall() if element.VR == "SQ"}
    assert told == {"PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"}
    assert not [element for element in seg.iterall() if element.tag.is_private]


def test_nothing_found_is_an_empty_segmentation(files: tuple[Path, ...], tmp_path: Path) -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    write_dicom_seg(tmp_path / "a.dcm", nothing, files, PROVENANCE)
    seg = highdicom.seg.segread(tmp_path / "a.dcm")
    np.testing.assert_array_equal(labels_of(seg, files), nothing)


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_series_that_nothing_can_refer_to(keyword: str, save_series: Save, tmp_path: Path) -> None:
    def remove(_: int, dataset: Dataset) -> None:
        delattr(dataset, keyword)

    paths = save_series(tmp_path / "in", np.ones((4, 4, 2)), np.eye(4), change=remove)
    message = rf"0000\.dcm: write DICOM segmentation: expected {keyword}, received none$"
    with pytest.raises(InputError, match=message):
        write_dicom_seg(tmp_path / "a.dcm", np.ones((4, 4, 2), np.uint8), paths, PROVENANCE)


def test_classes_without_a_code(files: tuple[Path, ...], tmp_path: Path) -> None:
    lesions = Provenance("ms", "0.1.0", "ab" * 32, ("background", "CSF", "lesion"))
    message = r"a\.dcm: write DICOM segmentation: expected classes with codes, CSF, GM, WM, received lesion$"
    with pytest.raises(InputError, match=message):
        write_dicom_seg(tmp_path / "a.dcm", some_labels(), files, lesions)
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_a_series_is_segmented_and_the_object_says_what_the_mask_says(
    tiny_bundle: Path, save_series: Save, save_kspace: Callable[..., Path], tmp_path: Path
) -> None:
    voxels = np.random.default_rng(0).integers(1, 100, (20, 24, 3))
    paths = save_series(tmp_path / "in" / "head7" / "t2", voxels, np.diag([1.0, 1.2, 3.0, 1.0]))
    save_kspace(tmp_path / "in" / "a.h5")
    output, settings = tmp_path / "out", SegmentSettings(dicom_seg=True)
    result = segment(tmp_path / "in", output, str(tiny_bundle), settings)
    assert (sorted(result.done), result.failed) == (["a", "head7/t2"], {})
    written = {path.relative_to(output).as_posix() for path in output.rglob("*_seg*")}
    assert written == {"a_seg.nii.gz", "head7/t2_seg.dcm", "head7/t2_seg.nii.gz"}
    lines = (output / "results.jsonl").read_text().splitlines()
    notes = {record["case"]: record["notes"] for record in map(json.loads, lines)}
    assert [
        "no DICOM segmentation: the input is no DICOM series" in notes[case] for case in ("a", "head7/t2")
    ] == [
        True,
        False,
    ]
    made = output / "head7" / "t2_seg.dcm"
    seg = highdicom.seg.segread(made)
    mask = np.asarray(nibabel.load(output / "head7" / "t2_seg.nii.gz").dataobj)
    assert len(np.unique(mask)) > 1
    series = read_dicom_series(paths[0]).files
    np.testing.assert_array_equal(labels_of(seg, series), mask)
    assert seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == (
        "kseg brain_kspace_segmentation"
    )
    # An object that was lost is made again, and is the same one.
    before = made.read_bytes()
    made.unlink()
    again = segment(tmp_path / "in", output, str(tiny_bundle), settings)
    assert (again.done, again.before) == (["head7/t2"], ["a"])
    assert made.read_bytes() == before
