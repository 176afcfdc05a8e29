import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coil_sensitivities import calibration_region, estimate_sensitivities
from kseg.transforms.coils import combine, expand
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.noise import add_noise

SHAPE = N_Y, N_X = 96, 80
CENTRE = (slice(36, 60), slice(32, 48))


def ellipse(height: float, width: float) -> Tensor:
    y, x = torch.linspace(-1, 1, N_Y)[:, None], torch.linspace(-1, 1, N_X)[None]
    return (y / height) ** 2 + (x / width) ** 2 < 1


@pytest.fixture
def image() -> Tensor:
    """A head of shells and spots, with a smooth phase of its own."""
    y, x = torch.linspace(-1, 1, N_Y)[:, None], torch.linspace(-1, 1, N_X)[None]
    magnitude = 1.0 * ellipse(0.9, 0.8) - 0.7 * ellipse(0.85, 0.74) + 0.5 * ellipse(0.75, 0.66)
    magnitude += 0.3 * ellipse(0.75, 0.66) * (torch.sin(15 * y) * torch.cos(17 * x) > 0)
    return torch.polar(magnitude, 0.6 * x - 0.4 * y**2)


@pytest.fixture
def maps() -> Tensor:
    return coil_maps(8, SHAPE, torch.Generator().manual_seed(3))[:, 0]


def aligned(estimated: Tensor, maps: Tensor) -> Tensor:
    """Correlation of the coils at each voxel (y, x), whatever phase they share."""
    return (estimated.conj() * maps).sum(0).abs() / (estimated.norm(dim=0) * maps.norm(dim=0))


@pytest.mark.parametrize(("noise", "least"), [(0.0, 0.998), (0.1, 0.99)])
def test_estimated_maps_are_those_of_the_simulator(image, maps, noise, least):
    kspace = add_noise(fft2c(expand(image, maps)), noise, torch.Generator().manual_seed(0))
    estimated = estimate_sensitivities(kspace[None], CENTRE)
    assert estimated.shape == (8, 1, N_Y, N_X)
    assert estimated.dtype == torch.complex64
    torch.testing.assert_close(estimated.abs().square().sum(0), torch.ones(1, N_Y, N_X))
    inside = aligned(estimated[:, 0], maps)[ellipse(0.9, 0.8)]
    assert inside.mean() > least
    assert inside.quantile(0.01) > 0.99 * least
    # The wrong twins: conjugated, and mirrored, they are others.
    assert aligned(estimated[:, 0].conj(), maps)[ellipse(0.9, 0.8)].mean() < 0.5
    assert aligned(estimated[:, 0].flip(-1), maps)[ellipse(0.9, 0.8)].mean() < 0.9


def test_only_the_centre_is_looked_at(image, maps):
    kspace = fft2c(expand(image, maps))
    holed = torch.zeros_like(kspace)
    holed[:, CENTRE[0], CENTRE[1]] = kspace[:, CENTRE[0], CENTRE[1]]
    torch.testing.assert_close(
        estimate_sensitivities(holed[None], CENTRE), estimate_sensitivities(kspace[None], CENTRE)
    )


def test_combination_recovers_the_image_without_its_smooth_phase(image, maps):
    coil_images = expand(image, maps)
    estimated = estimate_sensitivities(fft2c(coil_images)[None], CENTRE)[:, 0]
    combined = combine(coil_images, estimated)
    inside = ellipse(0.9, 0.8)
    error = torch.linalg.vector_norm((combined.abs() - image.abs())[inside]) / image[inside].norm()
    assert error < 0.003
    assert combined[inside].angle().abs().quantile(0.99) < 0.3
    # One coil alone does not show it.
    one = coil_images[0].abs() / coil_images[0].abs().max()
    assert torch.linalg.vector_norm((one - image.abs())[inside]) / image[inside].norm() > 0.3


def test_each_slice_has_its_own_maps_and_air_has_some_too(image, maps):
    turned = torch.roll(maps, 2, dims=0)
    slices = torch.stack([expand(image, maps), torch.zeros(8, *SHAPE), expand(image, turned)])
    estimated = estimate_sensitivities(fft2c(slices), CENTRE)
    torch.testing.assert_close(estimated[:, :1], estimate_sensitivities(fft2c(slices[:1]), CENTRE))
    torch.testing.assert_close(estimated[:, 1], torch.full((8, *SHAPE), 8**-0.5, dtype=torch.complex64))
    assert aligned(estimated[:, 2], turned)[ellipse(0.9, 0.8)].mean() > 0.998


def test_neither_scale_nor_phase_of_the_scan_matters(image, maps):
    kspace = fft2c(expand(image, maps))[None]
    one, other = (estimate_sensitivities(factor * kspace, CENTRE)[:, 0] for factor in (1, 3e-7j))
    inside = ellipse(0.9, 0.8)
    torch.testing.assert_close(other[:, inside].abs(), one[:, inside].abs(), rtol=0, atol=1e-3)


class TestCalibrationRegion:
    def lines(self, *sampled: tuple[int, int]) -> Tensor:
        mask = torch.arange(64) % 7 == 2
        for first, last in sampled:
            mask[first:last] = True
        return mask

    def test_central_lines(self):
        assert calibration_region(self.lines((24, 40)), 96) == (slice(36, 60), slice(24, 40))

    def test_no_more_than_is_of_use(self):
        assert calibration_region(torch.ones(64, dtype=torch.bool), 96) == (slice(36, 60), slice(20, 44))

    def test_odd_lengths(self):
        mask = torch.zeros(65, dtype=torch.bool)
        mask[32 - 4 : 32 + 5] = True
        assert calibration_region(mask, 33) == (slice(4, 28), slice(28, 37))

    def test_partial_fourier_has_its_centre_where_all_have_it(self):
        assert calibration_region(self.lines((20, 64)), 96) == (slice(36, 60), slice(20, 44))
        assert calibration_region(self.lines((26, 64)), 96) == (slice(36, 60), slice(26, 39))

    def test_what_all_slices_share(self):
        masks = torch.stack([self.lines((20, 44)), self.lines((24, 40)), torch.zeros(64, dtype=torch.bool)])
        assert calibration_region(masks, 96) == (slice(36, 60), slice(24, 40))

    def test_a_central_square(self):
        mask = torch.zeros(2, 96, 64, dtype=torch.bool)
        mask[:, 40:56, 22:42] = True
        assert calibration_region(mask, 96) == (slice(40, 56), slice(22, 42))

    @pytest.mark.parametrize(("first", "last"), [(29, 36), (28, 35), (32, 64), (0, 0)])
    def test_too_little(self, first, last):
        message = (
            r"^coil sensitivities: expected at least 8 x 8 samples around the centre of k-space \(y, x\), r"
        )
        with pytest.raises(ValueError, match=message):
            calibration_region(torch.arange(64).ge(first) & torch.arange(64).lt(last), 96)


def write_cfl(path: Path, values: Tensor) -> None:
    """Write coil data (coil, y, x) for BART: axes readout, phase, slice, coil, the first running fastest."""
    n_coils, n_y, n_x = values.shape
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{n_y} {n_x} 1 {n_coils}\n")
    values.permute(1, 2, 0).numpy().ravel(order="F").tofile(path.with_suffix(".cfl"))


@pytest.mark.skipif(shutil.which("bart") is None, reason="the program bart is not installed")
def test_maps_agree_with_barts(image, maps, tmp_path):
    kspace = add_noise(fft2c(expand(image, maps)), 0.05, torch.Generator().manual_seed(0))
    write_cfl(tmp_path / "kspace", kspace)
    command = ["bart", "ecalib", "-m", "1", "-r", "24:16:1", "-k", "4:4:1", "-c", "0", "kspace", "maps"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    stored = np.fromfile(tmp_path / "maps.cfl", np.complex64).reshape((N_Y, N_X, 8), order="F")
    of_bart = torch.from_numpy(stored.copy()).permute(2, 0, 1)
    ours = estimate_sensitivities(kspace[None], CENTRE)[:, 0]
    inside = ellipse(0.9, 0.8)
    assert aligned(ours, of_bart)[inside].mean() > 0.995
    assert aligned(ours, maps)[inside].mean() > aligned(of_bart, maps)[inside].mean() - 0.001
    images = [
        combine(ifft2c(kspace), each / each.norm(dim=0).clamp(min=1e-9)).abs() for each in (ours, of_bart)
    ]
    assert torch.linalg.vector_norm((images[0] - images[1])[inside]) < 0.01 * images[1][inside].norm()


@pytest.mark.skipif("KSEG_DATA" not in os.environ, reason="KSEG_DATA names no folder with a measured slice")
def test_measured_coils_show_one_image():
    kspace = torch.from_numpy(np.load(Path(os.environ["KSEG_DATA"], "kspace", "brain_8ch_cartesian.npy")))
    region = calibration_region((kspace != 0).any(0)[None], kspace.shape[1])
    assert region == (slice(103, 127), slice(78, 102))
    maps = estimate_sensitivities(kspace[None], region)[:, 0]
    centre = torch.zeros_like(kspace)
    centre[:, region[0], region[1]] = kspace[:, region[0], region[1]]
    coil_images = ifft2c(centre)
    # Coil by coil, the image that they combine to explains what each has measured.
    explained = expand(combine(coil_images, maps), maps)
    assert torch.linalg.vector_norm(coil_images - explained) < 0.08 * coil_images.norm()
    one = expand(combine(coil_images, maps.roll(1, 0)), maps.roll(1, 0))
    assert torch.linalg.vector_norm(coil_images - one) > 0.5 * coil_images.norm()
