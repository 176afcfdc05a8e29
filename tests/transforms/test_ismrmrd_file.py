from pathlib import Path

import ismrmrd
import numpy as np
import pytest
import torch

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import header_xml
from kseg.transforms.kspace_file import read_kspace

N_SLICES, N_COILS, N_Y, N_X = SHAPE = (2, 3, 8, 6)
HEADER = header_xml(SHAPE, (1.0, 2.0, 5.0))


@pytest.fixture
def kspace() -> np.ndarray:
    return torch.randn(SHAPE, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)).numpy()


def readout(samples: np.ndarray, line: int, slice_: int = 0) -> ismrmrd.Acquisition:
    acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples), center_sample=N_Y // 2)
    acquisition.idx.kspace_encode_step_1 = line
    acquisition.idx.slice = slice_
    return acquisition


def readouts(kspace: np.ndarray, lines: range = range(N_X)) -> list[ismrmrd.Acquisition]:
    return [readout(kspace[s, :, :, line], line, s) for s in range(N_SLICES) for line in lines]


def write(path: Path, acquisitions: list[ismrmrd.Acquisition], header: str = HEADER) -> Path:
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as dataset:
        dataset.write_xml_header(header.encode())
        for acquisition in acquisitions:
            dataset.append_acquisition(acquisition)
    return path


def test_every_sample_finds_its_place(tmp_path, kspace):
    shuffled = [readouts(kspace)[i] for i in np.random.default_rng(0).permutation(N_SLICES * N_X)]
    volume = read_kspace(write(tmp_path / "scan.mrd", shuffled))
    np.testing.assert_array_equal(volume.kspace, kspace)
    assert torch.equal(volume.mask, torch.ones(N_X, dtype=torch.bool))
    assert not volume.mask_inferred
    np.testing.assert_array_equal(np.diag(volume.affine), [1.0, 2.0, 5.0, 1.0])
    assert (volume.sigma, volume.seed, volume.subject) == (None, None, "scan")


def test_lines_left_out_stay_empty(tmp_path, kspace):
    volume = read_kspace(write(tmp_path / "x.h5", readouts(kspace, range(0, N_X, 2))))
    assert volume.mask.tolist() == [True, False] * 3
    np.testing.assert_array_equal(volume.kspace, kspace * ([1, 0] * 3))


def test_the_centre_line_of_the_header_lands_in_the_middle(tmp_path, kspace):
    # Lines 0..3 were acquired, line 1 at the centre of k-space: they belong to x = 2..5.
    header = HEADER.replace("<center>3</center>", "<center>1</center>")
    acquisitions = [readout(kspace[0, :, :, line + 2], line) for line in range(4)]
    volume = read_kspace(write(tmp_path / "x.h5", acquisitions, header))
    assert volume.mask.tolist() == [False] * 2 + [True] * 4
    np.testing.assert_array_equal(volume.kspace[0, :, :, 2:], kspace[0, :, :, 2:])


def test_an_asymmetric_echo_lands_with_its_centre_in_the_middle(tmp_path, kspace):
    acquisitions = []
    for line in range(N_X):
        echo = readout(kspace[0, :, 3:, line], line)
        echo.center_sample = 1
        echo.discard_post = 1
        acquisitions.append(echo)
    volume = read_kspace(write(tmp_path / "x.h5", acquisitions))
    expected = kspace[0].copy()
    expected[:, [0, 1, 2, 7]] = 0
    np.testing.assert_array_equal(volume.kspace[0], expected)
    np.testing.assert_array_equal(volume.mask[0], expected[0] != 0)


def test_repeated_lines_are_averaged_and_readouts_without_image_left_out(tmp_path, kspace):
    noise = readout(kspace[0, :, :, 0] * 100, 0)
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    reference = readout(kspace[0, :, :, 0] * 100, 0)
    reference.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    both = readout(kspace[0, :, :, 0] * 3, 0)
    both.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    volume = read_kspace(write(tmp_path / "x.h5", [noise, reference, both, *readouts(kspace)]))
    np.testing.assert_allclose(volume.kspace[0, :, :, 0], kspace[0, :, :, 0] * 2, rtol=1e-6)
    np.testing.assert_array_equal(volume.kspace[:, :, :, 1:], kspace[:, :, :, 1:])


class TestOtherScans:
    def check(self, path: Path, expected: str, received: str) -> None:
        message = rf"x\.h5: read k-space: expected {expected}, received {received}$"
        with pytest.raises(InputError, match=message):
            read_kspace(path)

    def test_radial(self, tmp_path, kspace):
        header = HEADER.replace(">cartesian<", ">radial<")
        self.check(write(tmp_path / "x.h5", readouts(kspace), header), "a Cartesian trajectory", "radial")

    def test_noise_only(self, tmp_path, kspace):
        noise = readout(kspace[0, :, :, 0], 0)
        noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        self.check(write(tmp_path / "x.h5", [noise]), "at least one imaging readout", "none")

    @pytest.mark.parametrize("counter", ["kspace_encode_step_2", "contrast", "phase", "repetition", "set"])
    def test_more_than_one_stack(self, tmp_path, kspace, counter):
        acquisitions = readouts(kspace)
        setattr(acquisitions[-1].idx, counter, 1)
        path = write(tmp_path / "x.h5", acquisitions)
        self.check(path, rf"one {counter} \(a single stack of slices\)", "2")

    def test_echo_planar(self, tmp_path, kspace):
        acquisitions = readouts(kspace)
        acquisitions[1].set_flag(ismrmrd.ACQ_IS_REVERSE)
        path = write(tmp_path / "x.h5", acquisitions)
        self.check(path, "readouts in one direction", r"reversed readouts \(echo-planar\)")

    def test_coils_that_come_and_go(self, tmp_path, kspace):
        acquisitions = [*readouts(kspace), readout(kspace[0, :2, :, 0], 0)]
        self.check(write(tmp_path / "x.h5", acquisitions), "as many coils in every readout", r"\[2, 3\]")

    def test_line_outside_the_matrix(self, tmp_path, kspace):
        path = write(tmp_path / "x.h5", [readout(kspace[0, :, :, 0], N_X)])
        self.check(path, r"readouts inside \(y, x\) = \(8, 6\)", "samples 0 to 8 of line 6")

    def test_samples_outside_the_matrix(self, tmp_path, kspace):
        acquisition = readout(kspace[0, :, :, 0], 0)
        acquisition.center_sample = 3
        path = write(tmp_path / "x.h5", [acquisition])
        self.check(path, r"readouts inside \(y, x\) = \(8, 6\)", "samples 1 to 9 of line 0")

    def test_readout_shorter_than_its_head_says(self, tmp_path, kspace):
        path = write(tmp_path / "x.h5", readouts(kspace))
        with ismrmrd.Dataset(str(path), "dataset", mode="r+") as dataset:
            table = dataset._dataset["data"]
            record = table[0]
            record["data"] = record["data"][:-2]
            table[0] = record
        self.check(path, "48 numbers in a readout", "46")

    def test_table_of_something_else(self, tmp_path, kspace):
        path = write(tmp_path / "x.h5", readouts(kspace))
        with ismrmrd.Dataset(str(path), "dataset", mode="r+") as dataset:
            del dataset._dataset["data"]
            dataset._dataset["data"] = np.zeros(3)
        self.check(path, r"ISMRMRD readouts \(head, traj, data\)", "None")
