"""Readouts for calibration that are no part of the image give sensitivities of the slices of the image."""

from pathlib import Path

import ismrmrd
import pytest
import torch
from torch import Tensor

from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.fourier import fft2c
from kseg.transforms.ismrmrd_header import header_xml
from kseg.transforms.kspace_file import read_kspace

MAPS = coil_maps(4, (40, 32), torch.Generator().manual_seed(2))
HEADER = header_xml((1, 4, 40, 32), (1, 1, 4))
NOT_USED = "readouts for calibration not used: "


@pytest.fixture(scope="module")
def image() -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 32), indexing="ij")
    inside = (y / 0.9) ** 2 + (x / 0.8) ** 2 < 1
    return inside * (1.5 + torch.sin(9 * y) * torch.cos(7 * x))


def lines(
    kspace: Tensor, numbers: range, slice_: int = 0, *, apart: bool = False
) -> list[ismrmrd.Acquisition]:
    """Readouts of k-space (coil, y, x)."""
    made = []
    for line in numbers:
        made.append(ismrmrd.Acquisition.from_array(kspace[..., line].contiguous().numpy(), center_sample=20))
        made[-1].idx.kspace_encode_step_1 = line
        made[-1].idx.slice = slice_
        if apart:
            made[-1].set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    return made


def write(path: Path, acquisitions: list[ismrmrd.Acquisition], header: str = HEADER) -> Path:
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as dataset:
        dataset.write_xml_header(header.encode())
        for acquisition in acquisitions:
            dataset.append_acquisition(acquisition)
    return path


def scanned(image: Tensor, slice_: int = 0) -> tuple[list[ismrmrd.Acquisition], list[ismrmrd.Acquisition]]:
    """Every other line of a slice, and its centre for calibration, which is another scan."""
    kspace = fft2c(image * MAPS)[:, 0]
    return lines(kspace, range(0, 32, 2), slice_), lines(7 * kspace, range(10, 22), slice_, apart=True)


def test_calibration_lines_of_their_own_give_sensitivities(tmp_path: Path, image: Tensor):
    acquisitions, calibration = scanned(image)
    volume = read_kspace(write(tmp_path / "x.h5", calibration + acquisitions))
    assert volume.mask.tolist() == [True, False] * 16
    assert volume.maps is not None
    assert volume.maps.shape == (4, 1, 40, 32)
    agreement = (volume.maps.conj() * MAPS).sum(0).abs()[0]
    assert agreement[image > 0].mean() > 0.995
    assert volume.notes[-1] == "sensitivities estimated from readouts for calibration"


@pytest.mark.parametrize("other", [0, 9])
def test_calibration_of_slices_that_are_not_in_the_image_is_left_out(
    tmp_path: Path, image: Tensor, other: int
):
    acquisitions, calibration = scanned(image, 4)
    expected = read_kspace(write(tmp_path / "x.h5", acquisitions + calibration)).maps
    strange = lines(fft2c(image.flip(0) * MAPS.flip(0))[:, 0], range(10, 22), other, apart=True)
    volume = read_kspace(write(tmp_path / "y.h5", acquisitions + calibration + strange))
    assert expected is not None
    assert volume.maps is not None
    assert torch.equal(volume.maps, expected)
    without = read_kspace(write(tmp_path / "z.h5", acquisitions + strange))
    assert without.maps is None
    assert without.notes[-1] == NOT_USED + "they are of slices that the image does not have"


def test_calibration_of_a_slab_is_left_out_with_a_note(tmp_path: Path, image: Tensor):
    header = HEADER.replace("<z>1</z>", "<z>2</z>").replace("<z>4.0</z>", "<z>8.0</z>")
    acquisitions, calibration = scanned(image)
    volume = read_kspace(write(tmp_path / "x.h5", acquisitions + calibration, header))
    assert volume.maps is None
    assert volume.notes[-1] == NOT_USED + "the scan is a slab"
    assert not any(
        NOT_USED in note for note in read_kspace(write(tmp_path / "y.h5", acquisitions, header)).notes
    )
