"""Which files of a case are drawn, which slice, and what is said where one does not fit."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.case_pictures import CaseSources, draw_case
from kseg.pipelines.find_segmentations import find_segmentations, match_references
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import write_nifti

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
SHAPE = (12, 10, 7)
CLASSES = {1: "CSF", 2: "GM"}


def labels(slice_of_most: int = 2) -> NDArray[np.uint8]:
    volume = np.zeros(SHAPE, np.uint8)
    volume[3:6, 3:6, 1:5] = 1
    volume[6:10, 3:8, slice_of_most] = 2
    return volume


def draw(
    folder: Path, case: str = "a", *, images: Path | None = None, references: Path | None = None
) -> tuple[int, int, bytes, bytes | None]:
    found = find_segmentations(folder)
    matched = {} if references is None else match_references(found, find_segmentations(references))
    sources = CaseSources(folder, found, matched, images)
    pictures = draw_case(case, sources, CLASSES)
    return pictures.slice_number, pictures.n_slices, pictures.contours, pictures.recurrences


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("seg", "images", "references"):
        (tmp_path / name).mkdir()
    write_nifti(tmp_path / "seg/a_seg.nii.gz", labels(), AFFINE)
    return tmp_path


def test_the_slice_is_the_one_with_most_of_the_classes_counted_from_below(folder: Path) -> None:
    assert draw(folder / "seg")[:2] == (3, 7)
    upside_down = AFFINE @ np.diag([1.0, 1.0, -1.0, 1.0])
    write_nifti(folder / "seg/a_seg.nii.gz", labels(), upside_down)
    assert draw(folder / "seg")[0] == 5


def test_the_reference_chooses_the_slice(folder: Path) -> None:
    write_nifti(folder / "references/a.nii.gz", labels(slice_of_most=4), AFFINE)
    assert draw(folder / "seg", references=folder / "references")[0] == 5


def test_the_reconstruction_goes_before_the_image(folder: Path) -> None:
    image = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    plain = draw(folder / "seg")[2]
    write_nifti(folder / "images/a.nii.gz", image, AFFINE)
    on_image = draw(folder / "seg", images=folder / "images")[2]
    write_nifti(folder / "seg/a_recon.nii.gz", image[::-1].copy(), AFFINE)
    on_reconstruction = draw(folder / "seg", images=folder / "images")[2]
    assert draw(folder / "seg")[2] == on_reconstruction
    assert len({plain, on_image, on_reconstruction}) == 3


def test_where_the_reference_is_empty_the_segmentation_chooses_the_slice(folder: Path) -> None:
    write_nifti(folder / "references/a.nii.gz", np.zeros(SHAPE, np.uint8), AFFINE)
    assert draw(folder / "seg", references=folder / "references")[0] == 3


def test_a_contrast_is_chosen_by_its_name(folder: Path) -> None:
    for number, contrast in enumerate(("FLAIR", "T1w")):
        image = np.random.default_rng(number).random(SHAPE).astype(np.float32)
        write_nifti(folder / f"images/a_{contrast}.nii.gz", image, AFFINE)
    found = find_segmentations(folder / "seg")
    drawn = {
        draw_case("a", CaseSources(folder / "seg", found, {}, folder / "images", contrast), CLASSES).contours
        for contrast in ("FLAIR", "T1w", None)
    }
    assert len(drawn) == 3


@pytest.mark.parametrize(("n_passes", "suffix"), [(3, ".nii.gz"), (1, ".nii")])
def test_recurrences_are_drawn_in_their_scale(folder: Path, n_passes: int, suffix: str) -> None:
    assert draw(folder / "seg")[3] is None
    path = folder / f"seg/a_recurrences{suffix}"
    # NIfTI keeps a last axis of length 1, so a single pass is told from a missing axis.
    stored = np.full((*SHAPE, 3, n_passes), 51, np.uint8)
    write_nifti(path, stored, AFFINE, slope=1 / 255)
    fifth = draw(folder / "seg")[3]
    write_nifti(path, np.full((*SHAPE, 3, n_passes), 0.2, np.float32), AFFINE)
    assert draw(folder / "seg")[3] == fifth
    write_nifti(path, stored, AFFINE, slope=1 / 51)
    assert draw(folder / "seg")[3] != fifth


def test_a_case_without_a_segmentation_is_named(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"seg/b: draw: expected one NIfTI file of this case, received none$"
    ):
        draw(folder / "seg", "b")


@pytest.mark.parametrize("kind", ["images", "references"])
def test_what_lies_on_another_grid_is_refused(folder: Path, kind: str) -> None:
    write_nifti(folder / kind / "a.nii.gz", labels()[:, :, 1:], AFFINE)
    message = (
        rf"{kind}/a\.nii\.gz: draw: expected grid \(x, y, slice\) \(12, 10, 7\), received \(12, 10, 6\)$"
    )
    with pytest.raises(InputError, match=message):
        draw(folder / "seg", images=folder / "images", references=folder / "references")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros((*SHAPE, 3), np.uint8), "five axes .* received shape \\(12, 10, 7, 3\\)$"),
        (np.zeros((*SHAPE, 2, 2), np.uint8), "expected maps of the classes 0..2, received 2 maps$"),
        (np.zeros((12, 10, 6, 3, 2), np.uint8), "expected grid .* received \\(12, 10, 6\\)$"),
    ],
)
def test_recurrences_that_do_not_fit_are_refused(
    folder: Path, stored: NDArray[np.uint8], message: str
) -> None:
    write_nifti(folder / "seg/a_recurrences.nii.gz", stored, AFFINE)
    with pytest.raises(InputError, match=rf"a_recurrences\.nii\.gz: draw: .*{message}"):
        draw(folder / "seg")


def test_damaged_recurrences_are_refused(folder: Path) -> None:
    path = folder / "seg/a_recurrences.nii.gz"
    write_nifti(path, np.zeros((*SHAPE, 3, 2), np.uint8), AFFINE)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # in the checksum and length at the end
    path.write_bytes(content)
    message = r"a_recurrences\.nii\.gz: draw: expected an intact NIfTI file, received BadGzipFile: "
    with pytest.raises(InputError, match=message):
        draw(folder / "seg")
