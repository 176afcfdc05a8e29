"""Which series a folder holds, whatever its files are called."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from kseg.pipelines.dicom_inputs import find_dicom_series, input_files, looks_like_dicom
from kseg.transforms import dicom_file

Save = Callable[..., list[Path]]
VOXELS = np.ones((4, 4, 3))
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def found(source: Path, leave_out: Path = Path("nowhere")) -> dict[str, list[str]]:
    top = source if source.is_dir() else source.parent
    cases = find_dicom_series(source, leave_out)
    return {case: [path.relative_to(top).as_posix() for path in paths] for case, paths in cases.items()}


def numbered(number: int | None) -> Callable[[int, Dataset], None]:
    def change(_: int, dataset: Dataset) -> None:
        dataset.SeriesNumber = number

    return change


def test_a_series_is_named_after_its_folder(save_series: Save, tmp_path: Path) -> None:
    save_series(tmp_path / "study" / "t2", VOXELS, AFFINE, names="IM{}".format)
    save_series(tmp_path / "study" / "t1", VOXELS, AFFINE, names=lambda i: f"1.2.840.{9 - i}")
    save_series(tmp_path / "out", VOXELS, AFFINE)
    save_series(tmp_path / ".trash", VOXELS, AFFINE)
    assert found(tmp_path, tmp_path / "out") == {
        "study/t1": ["study/t1/1.2.840.7"],
        "study/t2": ["study/t2/IM0"],
    }


def test_a_series_in_the_source_itself_is_named_after_it(
    save_series: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_series(tmp_path / "t2", VOXELS, AFFINE)
    assert found(tmp_path / "t2") == {"t2": ["0000.dcm"]}
    monkeypatch.chdir(tmp_path / "t2")
    assert found(Path()) == {"t2": ["0000.dcm"]}


def test_series_that_share_a_folder_are_told_apart_by_their_numbers(
    save_series: Save, tmp_path: Path
) -> None:
    for name, uid, number in (("a", "1.2.5", 7), ("b", "1.2.6", 12), ("c", "1.2.7", 4), ("d", "1.2.8", 4)):
        save_series(
            tmp_path / "s", VOXELS, AFFINE, uid=uid, names=f"{name}{{}}".format, change=numbered(number)
        )
    save_series(tmp_path / "s", VOXELS, AFFINE, uid="1.2.9", names="e{}".format, change=numbered(None))
    cases = found(tmp_path)
    assert {"s_series7", "s_series12"} < cases.keys()
    others = {case: paths for case, paths in cases.items() if case.startswith("s_series-")}
    assert sorted(path for paths in others.values() for path in paths) == ["s/c0", "s/d0", "s/e0"]
    assert len(cases) == 5
    assert found(tmp_path) == cases


def test_what_is_no_scan_is_left_aside_and_what_is_no_mr_is_not(save_series: Save, tmp_path: Path) -> None:
    def of(modality: str) -> Callable[[int, Dataset], None]:
        return lambda _, dataset: setattr(dataset, "Modality", modality)

    save_series(tmp_path / "t2", VOXELS, AFFINE)
    for index, modality in enumerate(("SR", "PR", "SEG")):
        save_series(
            tmp_path / "t2",
            VOXELS,
            AFFINE,
            uid=f"1.2.{index}",
            names=f"{modality}{{}}".format,
            change=of(modality),
        )
    save_series(tmp_path / "ct", VOXELS, AFFINE, change=of("CT"))
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / "t2" / "0000.dcm").read_bytes())
    (tmp_path / "README").write_text("scans")
    (tmp_path / "a.nii.gz").write_bytes((tmp_path / "t2" / "0000.dcm").read_bytes())
    assert found(tmp_path) == {"ct": ["ct/0000.dcm"], "t2": ["t2/0000.dcm"]}


def test_what_does_not_tell_its_series_is_a_case_by_itself(save_series: Save, tmp_path: Path) -> None:
    content = save_series(tmp_path / "s", VOXELS, AFFINE)[0].read_bytes()
    (tmp_path / "s" / "report.dcm").write_text("Dear colleague")
    (tmp_path / "s" / "cut.DCM").write_bytes(content[:180])
    (tmp_path / "s" / "IM9").write_bytes(content[:180])
    (tmp_path / "s" / "empty.dcm").touch()
    assert found(tmp_path) == {
        "s": ["s/0000.dcm"],
        "s/IM9": ["s/IM9"],
        "s/cut": ["s/cut.DCM"],
        "s/empty": ["s/empty.dcm"],
        "s/report": ["s/report.dcm"],
    }


def test_a_single_file_stands_for_its_series(save_series: Save, tmp_path: Path) -> None:
    paths = save_series(tmp_path, VOXELS, AFFINE)
    assert found(paths[1]) == {"0001": ["0001.dcm"]}
    (tmp_path / "notes.txt").write_text("scans")
    assert found(tmp_path / "notes.txt") == {}
    assert not looks_like_dicom(tmp_path / "notes.txt")


def test_the_files_of_an_input_are_all_of_a_series_or_the_one_that_it_is(
    save_series: Save, tmp_path: Path
) -> None:
    paths = save_series(tmp_path, VOXELS, AFFINE, names=lambda i: f"IM{(i + 1) % 3}")
    assert input_files(paths[1]) == sorted(paths)
    assert input_files(tmp_path / "a.nii.gz") == [tmp_path / "a.nii.gz"]


def test_listing_never_reads_beyond_the_few_elements_it_needs(
    save_series: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_series(tmp_path, VOXELS, AFFINE)
    asked: set[str] = set()
    read = dicom_file.read_elements

    def listen(path: Path, keywords: tuple[str, ...]) -> dict[str, object]:
        asked.update(keywords)
        return read(path, keywords)

    monkeypatch.setattr("kseg.pipelines.dicom_inputs.read_elements", listen)
    monkeypatch.setattr(dicom_file, "dcmread", None)
    assert len(found(tmp_path)) == 1
    assert asked <= {"SeriesInstanceUID", "SeriesNumber", "Modality"}
