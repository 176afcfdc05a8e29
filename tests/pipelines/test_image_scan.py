"""Images in any orientation and resolution: the same scan, and results back where they belong."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from kseg.pipelines.image_scan import ImageScan, scan_image
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.nifti import read_nifti, write_nifti

SHAPE = (11, 14, 5)
ORIENTATIONS = ["RAS", "LAS", "LPS", "LIA", "PSR", "SAL", "IRP"]


def oblique(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 3.0)) -> NDArray[np.float64]:
    """Canonical, turned by 10 degrees about x and 5 about z."""
    a, b = np.deg2rad([10, 5])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag(spacing_mm)
    affine[:3, 3] = -12.3, 4.5, 67.8
    return affine


def turn(
    array: NDArray[np.generic], affine: NDArray[np.float64], axes: str
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The same volume with other axes."""
    to = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    return np.ascontiguousarray(apply_orientation(array, to)), affine @ inv_ornt_aff(to, array.shape)


def values(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)


def scan_file(path: Path) -> ImageScan:
    return scan_image(path, read_nifti(path))


def test_the_image_of_the_scan_is_the_image(tmp_path: Path) -> None:
    array = values(*SHAPE)
    write_nifti(tmp_path / "a.nii.gz", array, oblique())
    kspace = scan_file(tmp_path / "a.nii.gz").kspace
    assert kspace.dtype == torch.complex64
    image = ifft2c(kspace)
    np.testing.assert_allclose(image.real[:, 0].numpy(), array.transpose(2, 1, 0), atol=1e-5)
    assert image.imag.abs().max() < 1e-5


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 3.0), (0.8, 1.3, 2.0)])
def test_axes_of_the_file_do_not_matter(
    axes: str, spacing_mm: tuple[float, float, float], tmp_path: Path
) -> None:
    array, affine = values(*SHAPE), oblique(spacing_mm)
    write_nifti(tmp_path / "canonical.nii.gz", array, affine)
    turned, turned_affine = turn(array, affine, axes)
    write_nifti(tmp_path / "turned.nii.gz", turned, turned_affine)
    one, other = scan_file(tmp_path / "canonical.nii.gz"), scan_file(tmp_path / "turned.nii.gz")
    assert torch.equal(one.kspace, other.kspace)
    np.testing.assert_array_equal(other.affine, nibabel.load(tmp_path / "turned.nii.gz").affine)
    n_slices, _, n_y, n_x = one.kspace.shape
    results = torch.from_numpy(values(n_slices, 2, n_y, n_x))
    expected, _ = turn(one.to_input_grid(results), affine, axes)
    received = other.to_input_grid(results)
    assert received.shape == (*turned.shape, 2)
    np.testing.assert_array_equal(received, expected)


def sheared() -> NDArray[np.float64]:
    """Slices that are shifted along their plane, in-plane axes that are not perpendicular; oblique."""
    affine = oblique()
    affine[:3, 2] += 0.7 * affine[:3, 0] - 0.4 * affine[:3, 1]
    affine[:3, 1] += 0.15 * affine[:3, 0]
    affine[:3, :2] /= np.linalg.norm(affine[:3, :2], axis=0)
    return affine


def diagonal() -> NDArray[np.float64]:
    """Turned by 45 degrees about x: no axis is nearer to y than to z."""
    affine, half = np.eye(4), np.sqrt(0.5)
    affine[1:3, 1:3] = [[half, -half], [half, half]]
    return affine


@pytest.mark.parametrize("affine", [oblique(), sheared(), diagonal()], ids=["oblique", "sheared", "diagonal"])
@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_oblique_and_sheared_images_come_back_to_their_own_voxels(
    axes: str, affine: NDArray[np.float64], tmp_path: Path
) -> None:
    array, affine = turn(values(*SHAPE), affine, axes)
    write_nifti(tmp_path / "a.nii.gz", array.astype(np.float32), affine)
    scan = scan_file(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(scan.affine, affine, atol=1e-5)
    back = scan.to_input_grid(ifft2c(scan.kspace).real)
    np.testing.assert_allclose(back[..., 0], array, atol=1e-5)


@pytest.mark.parametrize("spacing_mm", [(0.5, 0.5, 2.0), (1.7, 0.9, 3.0), (2.0, 4.0, 1.0)])
def test_results_come_back_to_a_tenth_of_a_millimetre(
    spacing_mm: tuple[float, float, float], tmp_path: Path
) -> None:
    array = values(40, 30, 3)
    write_nifti(tmp_path / "a.nii.gz", array, np.diag([*spacing_mm, 1.0]))
    scan = scan_file(tmp_path / "a.nii.gz")
    _, _, n_y, n_x = scan.kspace.shape
    extent_x, extent_y = 40 * spacing_mm[0], 30 * spacing_mm[1]
    assert (n_x, n_y) == (round(extent_x), round(extent_y))
    x = (torch.arange(n_x) + 0.5) * extent_x / n_x
    y = (torch.arange(n_y) + 0.5) * extent_y / n_y
    millimetres = torch.stack([x.expand(n_y, n_x), y[:, None].expand(n_y, n_x)])
    received = scan.to_input_grid(millimetres.expand(3, 2, n_y, n_x).contiguous())
    # The rim has no neighbours to interpolate with.
    inner = (slice(3, -3), slice(3, -3))
    expected_x = ((np.arange(40) + 0.5) * spacing_mm[0])[3:-3, None, None]
    expected_y = ((np.arange(30) + 0.5) * spacing_mm[1])[None, 3:-3, None]
    np.testing.assert_allclose(received[inner][..., 0], np.broadcast_to(expected_x, (34, 24, 3)), atol=0.1)
    np.testing.assert_allclose(received[inner][..., 1], np.broadcast_to(expected_y, (34, 24, 3)), atol=0.1)


@pytest.mark.parametrize("size_mm", [0.4, 1.0, 2.3])
def test_probabilities_stay_probabilities(size_mm: float, tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", values(30, 26, 2), np.diag([size_mm, size_mm, 1.0, 1.0]))
    scan = scan_file(tmp_path / "a.nii.gz")
    n_slices, _, n_y, n_x = scan.kspace.shape
    shares = torch.softmax(torch.from_numpy(5 * values(n_slices, 4, n_y, n_x)), dim=1)
    received = scan.to_input_grid(shares)
    assert received.shape == (30, 26, 2, 4)
    assert received.min() >= 0
    np.testing.assert_allclose(received.sum(-1), 1, atol=1e-5)


def test_pixels_within_two_percent_are_left_alone(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", values(100, 100, 2), np.diag([0.985, 1.015, 5.0, 1.0]))
    assert scan_file(tmp_path / "a.nii.gz").kspace.shape == (2, 1, 100, 100)


def test_one_slice_and_one_line(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", values(1, 9, 1), np.eye(4))
    scan = scan_file(tmp_path / "a.nii.gz")
    assert scan.kspace.shape == (1, 1, 9, 1)
    assert scan.to_input_grid(torch.zeros(1, 4, 9, 1)).shape == (1, 9, 1, 4)


@pytest.mark.parametrize(
    ("array", "spacing_mm", "message"),
    [
        (
            np.zeros(SHAPE, np.float32),
            1.0,
            "read image: expected an image with signal, received zeros everywhere",
        ),
        (
            np.full(SHAPE, 1e300),
            1.0,
            "read image: expected values that float32 holds, received 1e[+]300",
        ),
        (
            np.ones(SHAPE, np.float32),
            90.0,
            "read image: expected axial slices of at most 1000 mm, received 1260 x 990 mm",
        ),
        (np.ones(SHAPE, np.complex64), 1.0, "read NIfTI: expected one real number .*, received complex64"),
    ],
)
def test_what_cannot_be_scanned_is_named(
    array: NDArray[np.generic], spacing_mm: float, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, np.diag([spacing_mm, spacing_mm, 1, 1])), path)
    with pytest.raises(InputError, match=rf"a\.nii\.gz: {message}$"):
        scan_file(path)
