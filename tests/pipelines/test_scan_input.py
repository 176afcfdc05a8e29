from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kseg.pipelines.scan_input import open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines
from kseg.transforms.seeds import item_generator

AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of 20 x 24 x 3 voxels."""
    array = np.random.default_rng(0).uniform(0, 9, (20, 24, 3)).astype(np.float32)
    write_nifti(tmp_path / "a.nii.gz", array, AFFINE)
    return tmp_path / "a.nii.gz"


def test_kspace_is_opened_as_it_is_and_its_grid_is_that_of_the_file(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = gaussian_lines(18, 9, 4, generator)
    kspace = torch.randn(3, 1, 20, 18, dtype=torch.complex64, generator=generator) * mask
    write_kspace(tmp_path / "a.h5", KSpaceVolume(kspace, mask, AFFINE, sigma=None, seed=None, subject="s"))
    scan = open_scan(tmp_path / "a.h5", "a", SegmentSettings(fraction=0.1))
    assert torch.equal(scan.kspace, kspace)
    assert torch.equal(scan.mask, mask)
    assert np.array_equal(scan.affine, AFFINE)
    values = torch.arange(3 * 2 * 20 * 18.0).reshape(3, 2, 20, 18)
    assert scan.to_grid(values)[5, 7, 2, 1] == values[2, 1, 7, 5]
    assert scan.notes == []
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["mask"]
    inferred = open_scan(tmp_path / "a.h5", "a", SegmentSettings())
    assert torch.equal(inferred.mask, mask)
    assert inferred.notes == ["mask inferred from the empty samples"]


def test_sensitivities_of_the_file_come_along(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    kspace, maps = torch.randn(2, 3, 4, 20, 18, dtype=torch.complex64, generator=generator)
    mask = torch.ones(18, dtype=torch.bool)
    maps = maps.movedim(1, 0)
    volume = KSpaceVolume(kspace, mask, AFFINE, sigma=None, seed=None, subject="s", maps=maps)
    write_kspace(tmp_path / "a.h5", volume)
    scan = open_scan(tmp_path / "a.h5", "a", SegmentSettings())
    assert scan.maps is not None
    assert torch.equal(scan.maps, maps)


def test_the_kspace_of_an_image_gives_the_image_back(image: Path) -> None:
    scan = open_scan(image, "a", SegmentSettings())
    assert scan.mask.all()
    (note,) = scan.notes
    assert "Hermitian" in note
    magnitude = ifft2c(scan.kspace).abs()
    back = scan.to_grid(magnitude)[..., 0]
    assert np.corrcoef(back.ravel(), open_image(image).ravel())[0, 1] > 0.999


def test_lines_of_an_image_follow_seed_and_case(image: Path) -> None:
    def mask(case: str, seed: int) -> torch.Tensor:
        settings = SegmentSettings(fraction=0.5, center_lines=4, seed=seed)
        return open_scan(image, case, settings).mask

    n_x = len(mask("a", 0))
    expected = gaussian_lines(n_x, round(0.5 * n_x), 4, item_generator(3, "site/a"))
    assert torch.equal(mask("site/a", 3), expected)
    assert not torch.equal(mask("site/b", 3), expected)
    assert not torch.equal(mask("site/a", 4), expected)


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_a_dicom_series_is_the_scan_of_the_same_image_in_nifti(
    suffix: str, save_series: Callable[..., list[Path]], tmp_path: Path
) -> None:
    voxels = np.random.default_rng(0).integers(1, 99, (20, 24, 3))
    affine = np.array([[-0.9, 0.1, 0.2, 31.4], [0.1, -1.1, 0.4, -27], [0.1, 0.3, 4.2, 12.7], [0, 0, 0, 1]])
    affine[:3, 1] -= affine[:3, 0] * (affine[:3, 0] @ affine[:3, 1]) / (affine[:3, 0] @ affine[:3, 0])
    paths = save_series(tmp_path / "t2", voxels, affine, names=lambda i: f"IM{(i + 1) % 3}{suffix}")
    write_nifti(tmp_path / "t2.nii.gz", voxels.astype(np.float32), affine)
    settings = SegmentSettings(fraction=0.5, center_lines=4)
    series, image = (open_scan(path, "t2", settings) for path in (paths[1], tmp_path / "t2.nii.gz"))
    torch.testing.assert_close(series.kspace, image.kspace)
    assert torch.equal(series.mask, image.mask)
    np.testing.assert_allclose(series.affine, image.affine, atol=1e-5)
    assert (series.files, series.is_dicom) == (tuple(paths), True)
    assert (image.files, image.is_dicom) == ((tmp_path / "t2.nii.gz",), False)
    assert series.notes == image.notes
    values = torch.rand(*series.kspace.shape, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(series.to_grid(values), image.to_grid(values))


def test_a_dicom_segmentation_of_something_else_is_noted(
    image: Path, save_series: Callable[..., list[Path]], tmp_path: Path
) -> None:
    settings = SegmentSettings(dicom_seg=True)
    note = "no DICOM segmentation: the input is no DICOM series"
    assert note in open_scan(image, "a", settings).notes
    (path, _) = save_series(tmp_path / "s", np.ones((4, 4, 2)), np.eye(4))
    assert note not in open_scan(path, "s", settings).notes


def test_an_image_without_orientation_is_noted(image: Path, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(open_image(image), None), tmp_path / "b.nii.gz")
    settings = SegmentSettings()
    assert open_scan(tmp_path / "b.nii.gz", "b", settings).notes == [
        *open_scan(image, "a", settings).notes,
        "neither sform nor qform: the axes of the file are taken to point left, to the front and up",
    ]


def test_what_is_no_scan_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"a\.h5: read k-space: expected "):
        open_scan(tmp_path / "a.h5", "a", SegmentSettings())
    (tmp_path / "a.dcm").write_text("no DICOM")
    with pytest.raises(
        InputError, match=r"a\.dcm: read DICOM: expected a DICOM file, received a file of another"
    ):
        open_scan(tmp_path / "a.dcm", "a", SegmentSettings())


def open_image(path: Path) -> NDArray[np.generic]:
    return np.asanyarray(nibabel.load(path).dataobj)
