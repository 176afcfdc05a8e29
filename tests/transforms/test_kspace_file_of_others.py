"""K-space of other programs, and sensitivities stored beside it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from kseg.transforms.coils import root_sum_of_squares
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.ismrmrd_header import header_xml
from kseg.transforms.kspace_file import KSpaceVolume, read_kspace, write_kspace

N_SLICES, N_COILS, N_Y, N_X = SHAPE = (3, 2, 8, 6)


def random_kspace(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def volume() -> KSpaceVolume:
    lines = torch.ones(N_X, dtype=torch.bool)
    return KSpaceVolume(random_kspace(*SHAPE), lines, np.eye(4), None, None, "head_01")


def write_plain(path: Path, kspace: np.ndarray, header: object) -> Path:
    """Write a file as fastMRI ships them: no affine, no noise level, an identifier of the patient."""
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["ismrmrd_header"] = header
        file.attrs["patient_id"] = "0123456789abcdef"
    return path


def edit(path: Path, change: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


@pytest.mark.skipif("KSEG_DATA" not in os.environ, reason="KSEG_DATA names no folder with a measured slice")
def test_a_measured_slice_with_a_two_dimensional_pattern(tmp_path):
    measured = np.load(Path(os.environ["KSEG_DATA"], "kspace", "brain_8ch_cartesian.npy"))
    header = header_xml((1, *measured.shape), (1.0, 1.0, 5.0))
    volume = read_kspace(write_plain(tmp_path / "x.h5", measured[None], header))
    pattern = (measured != 0).any(axis=0)
    assert volume.mask_inferred
    assert volume.mask.shape == (1, 230, 180)
    np.testing.assert_array_equal(volume.mask[0], pattern)
    assert 0.12 < pattern.mean() < 0.13
    assert pattern[103:127, 78:102].all()
    write_kspace(tmp_path / "y.h5", volume)
    again = read_kspace(tmp_path / "y.h5")
    np.testing.assert_array_equal(again.kspace[0], measured)
    assert torch.equal(again.mask, volume.mask)
    assert not again.mask_inferred


class TestFastMRI:
    """Files of the challenge: a readout twice as long as is shown, lines that fill up the matrix."""

    N_Y, N_X = 32, 20

    def header(self) -> str:
        encoded, shown = header_xml((N_SLICES, N_COILS, self.N_Y, self.N_X), (0.5, 0.8, 4.0)).split(
            "<reconSpace>"
        )
        return encoded + "<reconSpace>" + shown.replace("<x>25.6</x>", "<x>12.8</x>", 1)

    def image(self) -> torch.Tensor:
        image = torch.zeros(N_SLICES, N_COILS, self.N_Y, self.N_X, dtype=torch.complex64)
        image[:, :, 8:24] = random_kspace(N_SLICES, N_COILS, 16, self.N_X)
        return image

    @pytest.mark.parametrize("n_coils", [1, 2])
    def test_the_image_is_its_own_reconstruction(self, tmp_path, n_coils):
        coil_images = self.image()[:, :n_coils]
        kspace = fft2c(coil_images)
        stored = kspace[:, 0] if n_coils == 1 else kspace
        path = write_plain(tmp_path / "file1000007.h5", stored.numpy(), self.header())
        shown = root_sum_of_squares(coil_images)[:, 8:24, 2:18]
        edit(path, lambda file: file.create_dataset("reconstruction_rss", data=shown.numpy()))
        volume = read_kspace(path)
        assert volume.kspace.shape == (N_SLICES, n_coils, 16, self.N_X)
        assert volume.notes == ("readout oversampling removed: 16 of 32 voxels kept",)
        rss = root_sum_of_squares(ifft2c(volume.kspace))
        torch.testing.assert_close(rss[..., 2:18], shown, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.diag(volume.affine), [0.5, 0.8, 4.0, 1.0])

    @pytest.mark.parametrize("shape", [(N_X,), (1, 1, 1, N_X, 1), (1, N_X)])
    @pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
    def test_masks_of_the_test_set(self, tmp_path, shape, kind):
        lines = torch.arange(self.N_X) % 3 != 1
        filled = (torch.arange(self.N_X) >= 3) & (torch.arange(self.N_X) < 18)
        kspace = fft2c(self.image()) * (lines & filled)
        path = write_plain(tmp_path / "x.h5", kspace.numpy(), self.header())
        stored = lines.numpy().astype(kind).reshape([self.N_X if n == N_X else n for n in shape])
        edit(path, lambda file: file.create_dataset("mask", data=stored))
        volume = read_kspace(path)
        assert not volume.mask_inferred
        # The empty lines that fill up the matrix were not measured, whatever the mask says.
        assert torch.equal(volume.mask, lines & filled)
        assert torch.equal((volume.kspace != 0).any(2)[0, 0], volume.mask)

    def test_readouts_that_begin_late_are_known_from_there_on(self, tmp_path):
        kspace = fft2c(self.image())
        kspace[:, :, :10] = 0
        volume = read_kspace(write_plain(tmp_path / "x.h5", kspace.numpy(), self.header()))
        assert volume.mask.shape == (N_SLICES, 16, self.N_X)
        assert volume.mask[0, :, 0].tolist() == [False] * 5 + [True] * 11
        assert torch.equal((volume.kspace != 0).any(1), volume.mask)

    def test_readouts_with_holes_are_refused(self, tmp_path):
        kspace = fft2c(self.image())
        kspace[:, :, 12] = 0
        path = write_plain(tmp_path / "x.h5", kspace.numpy(), self.header())
        message = r"x\.h5: read k-space: expected readouts without holes, being oversampled, received some with holes"
        with pytest.raises(InputError, match=message):
            read_kspace(path)


class TestSensitivities:
    @pytest.mark.parametrize("n_maps", [1, N_SLICES])
    def test_they_come_back_bit_for_bit(self, tmp_path, volume, n_maps):
        maps = random_kspace(N_COILS, n_maps, N_Y, N_X)
        write_kspace(tmp_path / "x.h5", replace(volume, maps=maps))
        assert torch.equal(read_kspace(tmp_path / "x.h5").maps, maps)
        with h5py.File(tmp_path / "x.h5") as file:
            np.testing.assert_array_equal(file["sensitivities"][:, 1], maps[1])
            assert file["sensitivities"].fletcher32

    def test_without_any_there_are_none(self, tmp_path, volume):
        write_kspace(tmp_path / "x.h5", volume)
        assert read_kspace(tmp_path / "x.h5").maps is None

    @pytest.mark.parametrize(
        ("stored", "message"),
        [
            (
                np.ones((1, 3, 8, 6), np.complex64),
                r"sensitivities \(coil, .* \(2, 3, 8, 6\), received \(3, 1, 8, 6\)",
            ),
            (
                np.ones((1, 2, 8, 6), np.float32),
                r"complex `sensitivities` .*, received float32 of shape \(1, 2, 8,",
            ),
            (
                np.ones((2, 8, 6), np.complex64),
                r"complex `sensitivities` .*, received complex64 of shape \(2, 8, 6\)",
            ),
            (
                np.zeros((1, 2, 8, 6), np.complex64),
                r"finite complex64 sensitivities, received torch.complex64, zero",
            ),
            (
                np.full((1, 2, 8, 6), np.nan + 0j),
                r"finite complex64 sensitivities, received torch.complex64, zero",
            ),
            ("text", r"complex `sensitivities` \(slice, coil, y, x\), received object of shape \(\)"),
        ],
    )
    def test_others_are_refused(self, tmp_path, volume, stored, message):
        write_kspace(tmp_path / "x.h5", volume)
        edit(tmp_path / "x.h5", lambda file: file.create_dataset("sensitivities", data=stored))
        with pytest.raises(InputError, match=rf"x\.h5: read k-space: expected {message}"):
            read_kspace(tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("header", "received"),
    [
        (np.zeros(3), r"float64 of shape \(3,\)"),
        (1.0, r"float64 of shape \(\)"),
        (["a", "b"], r"object of shape \(2,\)"),
        (np.zeros((), [("JANE^DOE", "f4")]), "a table of 1 columns"),
    ],
)
def test_a_header_that_is_no_text_is_refused(tmp_path, header, received):
    path = write_plain(tmp_path / "x.h5", random_kspace(*SHAPE).numpy(), header)
    message = rf"x\.h5: read k-space: expected a text as `ismrmrd_header`, received {received}$"
    with pytest.raises(InputError, match=message):
        read_kspace(path)
