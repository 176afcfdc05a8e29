import re
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from kseg.transforms.errors import InputError
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.ismrmrd_file import StackChoice
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


def flagged(acquisition: ismrmrd.Acquisition, *flags: int) -> ismrmrd.Acquisition:
    for flag in flags:
        acquisition.set_flag(flag)
    return acquisition


def test_repeated_lines_are_averaged_and_readouts_without_image_left_out(tmp_path, kspace):
    others = [
        flagged(readout(kspace[0, :, :, 0] * 100, 0), flag)
        for flag in (
            ismrmrd.ACQ_IS_NAVIGATION_DATA,
            ismrmrd.ACQ_IS_PHASECORR_DATA,
            ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
        )
    ]
    both = flagged(readout(kspace[0, :, :, 0] * 3, 0), ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    elsewhere = readout(kspace[0, :, :, 0] * 100, 0)
    elsewhere.encoding_space_ref = 1
    volume = read_kspace(write(tmp_path / "x.h5", [*others, both, elsewhere, *readouts(kspace)]))
    np.testing.assert_allclose(volume.kspace[0, :, :, 0], kspace[0, :, :, 0] * 2, rtol=1e-6)
    np.testing.assert_array_equal(volume.kspace[:, :, :, 1:], kspace[:, :, :, 1:])


@pytest.mark.parametrize("counter", ["contrast", "phase", "repetition", "set"])
def test_one_of_several_stacks_is_read_and_it_is_said_which(tmp_path, kspace, counter):
    acquisitions = readouts(kspace)
    for acquisition in readouts(2 * kspace):
        setattr(acquisition.idx, counter, 4)
        acquisitions.append(acquisition)
    path = write(tmp_path / "x.h5", acquisitions)
    first, second = (read_kspace(path, StackChoice(**{counter: number})) for number in (0, 1))
    np.testing.assert_array_equal(first.kspace, kspace)
    np.testing.assert_array_equal(second.kspace, 2 * kspace)
    assert first.notes[0] == f"{counter} 1 of 2"
    assert second.notes[0] == f"{counter} 2 of 2"
    assert torch.equal(read_kspace(path).kspace, first.kspace)
    with pytest.raises(
        InputError, match=rf"x\.h5: read k-space: expected a {counter} number 0\.\.1, received 2"
    ):
        read_kspace(path, StackChoice(**{counter: 2}))


def oversampled(header: str) -> str:
    """A header whose field of view to show is half the encoded one along the readout."""
    encoded, shown = header.split("<reconSpace>")
    return f"{encoded}<reconSpace>{shown.replace('<x>8.0</x>', '<x>4.0</x>', 1)}"


def test_oversampling_of_the_readout_is_removed(tmp_path, kspace):
    header = oversampled(header_xml(SHAPE, (2.0, 1.0, 5.0)))
    volume = read_kspace(write(tmp_path / "x.h5", readouts(kspace, range(0, N_X, 2)), header))
    assert volume.kspace.shape == (2, 3, 4, N_X)
    assert volume.mask.tolist() == [True, False] * 3
    sparse = torch.from_numpy(kspace) * torch.tensor([1, 0] * 3)
    torch.testing.assert_close(ifft2c(volume.kspace), ifft2c(sparse)[:, :, 2:6], rtol=1e-4, atol=1e-5)
    # Voxels keep their size, the middle one its place.
    np.testing.assert_array_equal(np.diag(volume.affine), [2.0, 1.0, 5.0, 1.0])
    np.testing.assert_array_equal(volume.affine @ [3, 2, 1, 1], [0, 0, 0, 1])


def test_noise_measurements_whiten_the_coils(tmp_path, kspace):
    generator = torch.Generator().manual_seed(1)
    coupling = torch.randn(3, 3, dtype=torch.complex64, generator=generator) + 2 * torch.eye(3)
    acquisitions = readouts(kspace)
    for _ in range(50):
        white = torch.randn(3, 40, dtype=torch.complex64, generator=generator)
        acquisitions.insert(
            0, flagged(readout((coupling @ white).numpy(), 60000, 60000), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        )
    volume = read_kspace(write(tmp_path / "x.h5", acquisitions))
    assert "3 coils pre-whitened" in volume.notes
    assert torch.equal(volume.mask, torch.ones(N_X, dtype=torch.bool))
    # What the coils mix is unmixed, up to a unitary matrix: K^H C^-1 K stays as it is.
    inverse = torch.linalg.inv(coupling @ coupling.mH)
    samples = torch.from_numpy(kspace).movedim(1, 0).flatten(1)
    expected = (samples.conj() * (inverse @ samples)).sum(0).real
    found = volume.kspace.movedim(1, 0).flatten(1).abs().square().sum(0)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0)


def test_the_noise_of_one_coil_changes_nothing(tmp_path, kspace):
    noise = flagged(readout(kspace[0, :1, :, 0], 0), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    volume = read_kspace(write(tmp_path / "x.h5", [noise, *readouts(kspace[:, :1])]))
    np.testing.assert_array_equal(volume.kspace, kspace[:, :1])


def embedded(header: str) -> str:
    step = "<kspace_encoding_step_{0}>2</kspace_encoding_step_{0}>"
    factor = f"<accelerationFactor>{step.format(1)}{step.format(2)}</accelerationFactor>"
    mode = f"<parallelImaging>{factor}<calibrationMode>embedded</calibrationMode></parallelImaging>"
    return header.replace("</encoding>", f"{mode}</encoding>")


def test_calibration_lines_belong_to_the_image_where_they_are_embedded(tmp_path, kspace):
    acquisitions = readouts(kspace, range(0, N_X, 2))
    acquisitions += [
        flagged(each, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) for each in readouts(kspace, range(3, 4))
    ]
    within = read_kspace(write(tmp_path / "x.h5", acquisitions, embedded(HEADER)))
    assert within.mask.tolist() == [True, False, True, True, True, False]
    np.testing.assert_array_equal(within.kspace[..., 3], kspace[..., 3])
    apart = read_kspace(write(tmp_path / "y.h5", acquisitions))
    assert apart.mask.tolist() == [True, False] * 3
    # One line is too little for sensitivities.
    assert apart.maps is None
    assert apart.notes[-1].startswith(
        "readouts for calibration not used: coil sensitivities: expected at least"
    )


class TestSlab:
    # Without limits the centre is the partition in the middle.
    HEADER = re.sub(
        "(?s)<kspace_encoding_step_2>.*</kspace_encoding_step_2>",
        "",
        HEADER.replace("<z>1</z>", "<z>4</z>").replace("<z>5.0</z>", "<z>20.0</z>"),
    )

    def partitions(self, kspace: np.ndarray) -> list[ismrmrd.Acquisition]:
        """Readouts of k-space (partition, coil, y, x)."""
        made = []
        for number, partition in enumerate(kspace):
            for line in range(N_X):
                made.append(readout(partition[:, :, line], line))
                made[-1].idx.kspace_encode_step_2 = number
        return made

    @pytest.fixture
    def slices(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(5)
        return torch.randn(4, N_COILS, N_Y, N_X, dtype=torch.complex64, generator=generator)

    def transformed(self, slices: torch.Tensor) -> np.ndarray:
        along = slices.permute(1, 2, 3, 0).unsqueeze(-1)
        return fft2c(along)[..., 0].permute(3, 0, 1, 2).contiguous().numpy()

    def test_partitions_become_slices(self, tmp_path, slices):
        volume = read_kspace(write(tmp_path / "x.h5", self.partitions(self.transformed(slices)), self.HEADER))
        torch.testing.assert_close(volume.kspace, slices, rtol=1e-4, atol=1e-5)
        assert volume.mask.tolist() == [True] * N_X
        np.testing.assert_array_equal(np.diag(volume.affine), [1.0, 2.0, 5.0, 1.0])

    def test_partitions_beyond_the_slab_are_cut(self, tmp_path, slices):
        encoded, shown = self.HEADER.split("<reconSpace>")
        header = encoded + "<reconSpace>" + shown.replace("<z>20.0</z>", "<z>10.0</z>", 1)
        volume = read_kspace(write(tmp_path / "x.h5", self.partitions(self.transformed(slices)), header))
        torch.testing.assert_close(volume.kspace, slices[1:3], rtol=1e-4, atol=1e-5)

    def test_lines_that_differ_between_partitions_are_refused(self, tmp_path, slices):
        path = write(tmp_path / "x.h5", self.partitions(slices.numpy())[:-1], self.HEADER)
        with pytest.raises(
            InputError, match="expected the same lines in every partition of a slab, received others"
        ):
            read_kspace(path)


def test_slices_are_put_where_they_were_scanned(tmp_path, kspace):
    acquisitions = readouts(kspace)
    for acquisition in acquisitions:
        acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = (
            (0, 1, 0),
            (1, 0, 0),
            (0, 0, 1),
        )
        acquisition.position[:] = (3, 4, 20 - 6 * acquisition.idx.slice)
    volume = read_kspace(write(tmp_path / "x.h5", acquisitions))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.kspace, kspace)
    np.testing.assert_allclose(volume.affine @ [N_X // 2, N_Y // 2, 1, 1], [-3, -4, 14, 1])


class TestOtherScans:
    def check(self, path: Path, expected: str, received: str) -> None:
        message = rf"x\.h5: read k-space: expected {expected}, received {received}$"
        with pytest.raises(InputError, match=message):
            read_kspace(path)

    def test_radial(self, tmp_path, kspace):
        header = HEADER.replace(">cartesian<", ">radial<")
        self.check(write(tmp_path / "x.h5", readouts(kspace), header), "a Cartesian trajectory", "radial")

    def test_a_trajectory_that_nobody_knows_is_not_repeated(self, tmp_path, kspace):
        header = HEADER.replace(">cartesian<", ">JANE DOE<")
        self.check(write(tmp_path / "x.h5", readouts(kspace), header), "a Cartesian trajectory", "other")

    def test_noise_only(self, tmp_path, kspace):
        noise = readout(kspace[0, :, :, 0], 0)
        noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        self.check(write(tmp_path / "x.h5", [noise]), "at least one imaging readout", "none")

    def test_partitions_that_the_matrix_does_not_have(self, tmp_path, kspace):
        acquisitions = readouts(kspace)
        acquisitions[-1].idx.kspace_encode_step_2 = 1
        path = write(tmp_path / "x.h5", acquisitions)
        self.check(path, "a matrix with partitions, as the readouts have them", "one partition")

    def test_several_slabs(self, tmp_path, kspace):
        header = HEADER.replace("<z>1</z>", "<z>4</z>")
        self.check(write(tmp_path / "x.h5", readouts(kspace), header), "one slab", "2")

    def test_slices_with_a_gap(self, tmp_path, kspace):
        acquisitions = readouts(kspace)
        acquisitions[-1].idx.slice = 9
        path = write(tmp_path / "x.h5", acquisitions)
        self.check(path, "slices without a gap", "3 between 0 and 9")

    def test_noise_of_other_coils(self, tmp_path, kspace):
        noise = flagged(readout(kspace[0, :2, :, 0], 0), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        path = write(tmp_path / "x.h5", [noise, *readouts(kspace)])
        self.check(path, "noise of 3 coils", "2 coils, 32 numbers")

    def test_noise_of_a_coil_that_receives_nothing(self, tmp_path, kspace):
        samples = kspace[0, :, :, 0] * np.array([[1], [0], [1]])
        noise = flagged(readout(samples, 0), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        path = write(tmp_path / "x.h5", [noise, *readouts(kspace)])
        expected = "a usable noise measurement"
        self.check(path, expected, "noise: expected a positive covariance, received a singular one")

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

    @pytest.mark.parametrize(("member", "kind"), [("head", np.float64), ("data", np.float64)])
    def test_readouts_of_another_kind(self, tmp_path, kspace, member, kind):
        path = write(tmp_path / "x.h5", readouts(kspace))
        members = {name: ismrmrd.hdf5.acquisition_dtype[name] for name in ("head", "traj", "data")}
        heads = {name: members["head"][name] for name in members["head"].names}
        if member == "head":
            members["head"] = np.dtype(list({**heads, "position": np.dtype((kind, 3))}.items()))
        else:
            members["data"] = h5py.vlen_dtype(kind)
        with h5py.File(path, "r+") as file:
            del file["dataset/data"]
            file.create_dataset("dataset/data", (1,), np.dtype(list(members.items())))
        self.check(path, "ISMRMRD readouts", "heads or samples of another kind")

    def test_header_of_numbers(self, tmp_path, kspace):
        path = write(tmp_path / "x.h5", readouts(kspace))
        with h5py.File(path, "r+") as file:
            del file["dataset/xml"]
            file["dataset/xml"] = np.zeros(2)
        self.check(path, "an XML ISMRMRD header", r"float64 of shape \(2,\)")

    def test_readouts_that_are_a_group(self, tmp_path, kspace):
        path = write(tmp_path / "x.h5", readouts(kspace))
        with h5py.File(path, "r+") as file:
            del file["dataset/data"]
            file.create_group("dataset/data")
        self.check(path, "a dataset `dataset/data`", "Group")

    def test_table_of_something_else(self, tmp_path, kspace):
        path = write(tmp_path / "x.h5", readouts(kspace))
        with ismrmrd.Dataset(str(path), "dataset", mode="r+") as dataset:
            del dataset._dataset["data"]
            dataset._dataset["data"] = np.zeros(3)
        self.check(path, r"ISMRMRD readouts \(head, traj, data\)", r"float64 of shape \(3,\)")

    @pytest.mark.parametrize("name", ["data", "xml"])
    def test_names_of_columns_are_not_repeated(self, tmp_path, kspace, name):
        path = write(tmp_path / "x.h5", readouts(kspace))
        with h5py.File(path, "r+") as file:
            del file[f"dataset/{name}"]
            file[f"dataset/{name}"] = np.zeros(1, [("JANE\x1b[31m", "f4"), ("DOE", "f4")])
        expected = {"data": r"ISMRMRD readouts \(head, traj, data\)", "xml": "an XML ISMRMRD header"}[name]
        self.check(path, expected, "a table of 2 columns")
