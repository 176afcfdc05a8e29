import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from monai.apps.reconstruction.fastmri_reader import FastMRIReader

from kseg import __version__
from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import header_xml
from kseg.transforms.kspace_file import KSpaceVolume, read_kspace, smallest_mask, write_kspace

N_SLICES, N_COILS, N_Y, N_X = SHAPE = (3, 2, 8, 6)
LINES = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)
AFFINE = np.array(
    [[-0.9, 0.1, 0.0, 80.1], [0.1, 0.9, 0.0, -100.7], [0.0, 0.0, 3.3, -40.3], [0.0, 0.0, 0.0, 1.0]]
)

WRITE_UNTIL_KILLED = """
import sys
import numpy as np
import torch
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
kspace = torch.ones(40, 4, 200, 200, dtype=torch.complex64)
volume = KSpaceVolume(kspace, torch.ones(200, dtype=torch.bool), np.eye(4), None, None, "head")
print("writing", flush=True)
write_kspace(sys.argv[1], volume)
"""


def random_kspace(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def volume() -> KSpaceVolume:
    return KSpaceVolume(random_kspace(*SHAPE) * LINES, LINES, AFFINE, 0.1, 2**63 - 1, "head_01")


def write_plain(path: Path, kspace: np.ndarray, header: str | None = None) -> Path:
    """Write a file as fastMRI ships them: no affine, no noise level, an identifier of the patient."""
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        if header is not None:
            file["ismrmrd_header"] = header
        file.attrs["patient_id"] = "0123456789abcdef"
    return path


def edit(path: Path, change: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


@pytest.mark.parametrize("n_coils", [1, 2])
@pytest.mark.parametrize("sigma", [None, 0.0, 0.1])
@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1])
def test_a_volume_comes_back_bit_for_bit(tmp_path, volume, n_coils, sigma, seed):
    volume = replace(volume, kspace=volume.kspace[:, :n_coils], sigma=sigma, seed=seed, subject="tête 01")
    write_kspace(tmp_path / "x.h5", volume)
    other = read_kspace(tmp_path / "x.h5")
    assert torch.equal(torch.view_as_real(other.kspace), torch.view_as_real(volume.kspace))
    assert torch.equal(other.mask, volume.mask)
    np.testing.assert_array_equal(other.affine, AFFINE)
    assert (other.sigma, other.seed, other.subject, other.mask_inferred) == (sigma, seed, "tête 01", False)


@pytest.mark.parametrize("shape", [(N_X,), (N_SLICES, N_X), (N_SLICES, N_Y, N_X)])
def test_masks_keep_their_shape(tmp_path, volume, shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    write_kspace(tmp_path / "x.h5", replace(volume, mask=mask))
    assert torch.equal(read_kspace(tmp_path / "x.h5").mask, mask)


def test_same_volume_same_bytes(tmp_path, volume):
    for name in ("x.h5", "y.h5"):
        write_kspace(tmp_path / name, volume)
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "y.h5").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["x.h5", "y.h5"]


@pytest.mark.parametrize("n_coils", [1, 2])
def test_layout_in_the_file_is_fastmris(tmp_path, volume, n_coils):
    write_kspace(tmp_path / "x.h5", replace(volume, kspace=volume.kspace[:, :n_coils]))
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["kspace"].dtype == np.complex64
        assert file["kspace"].shape == ((N_SLICES, N_Y, N_X) if n_coils == 1 else SHAPE)
        assert file["kspace"].fletcher32
        assert sorted(file) == ["affine", "ismrmrd_header", "kspace", "mask"]
        assert sorted(file.attrs) == ["kseg_version", "seed", "sigma", "subject"]
        assert file.attrs["kseg_version"].decode() == __version__


def test_monais_fastmri_reader_sees_both_parts_and_the_mask(tmp_path, volume):
    write_kspace(tmp_path / "x.h5", volume)
    reader = FastMRIReader()
    kspace, metadata = reader.get_data(reader.read(tmp_path / "x.h5"))
    np.testing.assert_array_equal(kspace, volume.kspace.numpy())
    assert np.abs(kspace.imag).max() > 1
    np.testing.assert_array_equal(np.squeeze(metadata["mask"]), LINES.numpy())


def test_fastmris_queries_find_the_encoded_and_reconstructed_matrix(tmp_path, volume):
    write_kspace(tmp_path / "x.h5", volume)
    with h5py.File(tmp_path / "x.h5") as file:
        root = ElementTree.fromstring(file["ismrmrd_header"][()])

    def query(*tags: str) -> int:
        # The nested query of fastMRI's SliceDataset.
        path = "." + "".join(f"//m:{tag}" for tag in ("encoding", *tags))
        return int(root.findtext(path, namespaces={"m": "http://www.ismrm.org/ISMRMRD"}))

    for space in ("encodedSpace", "reconSpace"):
        assert [query(space, "matrixSize", axis) for axis in "xyz"] == [N_Y, N_X, 1]
    limits = ("encodingLimits", "kspace_encoding_step_1")
    padding_left = N_X // 2 - query(*limits, "center")
    assert (padding_left, padding_left + query(*limits, "maximum") + 1) == (0, N_X)


def test_a_plain_fastmri_file_gets_affine_and_mask_from_what_it_holds(tmp_path, volume):
    header = header_xml(SHAPE, (0.5, 0.8, 4.0))
    path = write_plain(tmp_path / "file1000001.h5", volume.kspace.numpy(), header)
    other = read_kspace(path)
    assert torch.equal(other.kspace, volume.kspace)
    assert other.mask_inferred
    assert torch.equal(other.mask, LINES)
    # The middle voxel lies at the origin; axes follow (x, y, slice).
    np.testing.assert_allclose(other.affine @ [N_X // 2, N_Y // 2, N_SLICES // 2, 1], [0, 0, 0, 1])
    np.testing.assert_allclose(np.diag(other.affine), [0.5, 0.8, 4.0, 1.0])
    assert (other.sigma, other.seed, other.subject) == (None, None, "file1000001")


def test_a_single_coil_file_and_one_in_double_precision(tmp_path):
    kspace = random_kspace(N_SLICES, N_Y, N_X)
    path = write_plain(tmp_path / "x.h5", kspace.to(torch.complex128).numpy(), header_xml(SHAPE, (1, 1, 1)))
    other = read_kspace(path)
    assert torch.equal(other.kspace, kspace[:, None])
    assert torch.equal(other.mask, torch.ones(N_X, dtype=torch.bool))


def test_a_stored_mask_of_numbers_is_taken(tmp_path, volume):
    path = write_plain(tmp_path / "x.h5", volume.kspace.numpy(), header_xml(SHAPE, (1, 1, 1)))
    edit(path, lambda file: file.create_dataset("mask", data=np.array([1, 0, 1, 1, 0, 0], np.float32)))
    other = read_kspace(path)
    assert not other.mask_inferred
    assert other.mask.tolist() == [True, False, True, True, False, False]


class TestSmallestMask:
    def test_lines_that_all_slices_share(self):
        assert torch.equal(smallest_mask(LINES.expand(N_SLICES, N_Y, N_X)), LINES)

    def test_a_slice_of_air_says_nothing(self):
        sampled = LINES.repeat(N_SLICES, N_Y, 1)
        sampled[0] = False
        assert torch.equal(smallest_mask(sampled), LINES)

    def test_lines_that_differ_between_slices(self):
        lines = torch.stack([LINES, LINES, ~LINES])
        assert torch.equal(smallest_mask(lines[:, None].expand(-1, N_Y, -1)), lines)

    def test_lines_that_are_partly_empty(self):
        sampled = LINES.repeat(N_SLICES, N_Y, 1)
        sampled[:, 0] = False
        assert torch.equal(smallest_mask(sampled), sampled)


def test_a_flipped_bit_anywhere_is_found_or_harmless(tmp_path, volume):
    write_kspace(tmp_path / "x.h5", volume)
    intact = (tmp_path / "x.h5").read_bytes()
    refused = 0
    for position in range(3, len(intact), 23):
        damaged = bytearray(intact)
        damaged[position] ^= 1 << position % 8
        (tmp_path / "x.h5").write_bytes(damaged)
        try:
            other = read_kspace(tmp_path / "x.h5")
        except InputError:
            refused += 1
            continue
        assert torch.equal(other.kspace, volume.kspace)
        assert torch.equal(other.mask, volume.mask)
        np.testing.assert_array_equal(other.affine, AFFINE)
        assert (other.sigma, other.seed, other.subject) == (0.1, 2**63 - 1, "head_01")
    assert refused > 100


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL exists on POSIX only")
def test_a_killed_writer_leaves_no_file_under_the_final_name(tmp_path, kill_while_writing):
    kill_while_writing(WRITE_UNTIL_KILLED, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


class TestUnusableFiles:
    @pytest.fixture
    def path(self, tmp_path, volume) -> Path:
        write_kspace(tmp_path / "x.h5", volume)
        return tmp_path / "x.h5"

    def check(self, path: Path, expected: str, received: str) -> None:
        message = rf"x\.h5: read k-space: expected {expected}, received {received}"
        with pytest.raises(InputError, match=message) as caught:
            read_kspace(path)
        assert "\n" not in str(caught.value)

    def replace(self, path: Path, name: str, data: object) -> Path:
        def change(file: h5py.File) -> None:
            del file[name]
            file[name] = data

        return edit(path, change)

    def test_missing(self, tmp_path):
        self.check(tmp_path / "x.h5", "a file", "No such file or directory$")

    def test_folder(self, tmp_path):
        (tmp_path / "x.h5").mkdir()
        self.check(tmp_path / "x.h5", "a file", "a folder$")

    def test_empty(self, tmp_path):
        (tmp_path / "x.h5").touch()
        self.check(tmp_path / "x.h5", "a file with content", "an empty file$")

    def test_not_hdf5(self, tmp_path):
        (tmp_path / "x.h5").write_bytes(b"something else")
        self.check(tmp_path / "x.h5", "an HDF5 file", "a file of another kind$")

    def test_unreadable(self, path, monkeypatch):
        def refuse(path: Path, mode: str) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(h5py, "File", refuse)
        self.check(path, "an intact HDF5 file", "PermissionError: .*Permission denied")

    def test_truncated(self, path):
        content = path.read_bytes()
        for length in (100, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            self.check(path, "an intact HDF5 file", "OSError: ")

    def test_flipped_byte_in_the_data(self, path, volume):
        content = bytearray(path.read_bytes())
        content[content.index(volume.kspace[1].numpy().tobytes()) + 40] ^= 1
        path.write_bytes(content)
        self.check(path, "an intact HDF5 file", "OSError: .*(checksum|filter)")

    def test_no_kspace(self, path):
        edit(path, lambda file: file.move("kspace", "image"))
        self.check(path, "a dataset `kspace`", "4 others$")

    def test_real_values(self, path, volume):
        self.replace(path, "kspace", volume.kspace.abs().numpy())
        self.check(path, r"complex `kspace` \(slice, y, x\) or .*", r"float32 of shape \(3, 2, 8, 6\)$")

    @pytest.mark.parametrize("shape", [(8, 6), (1, 3, 2, 8, 6), (3, 0, 8, 6)])
    def test_rank(self, path, shape):
        self.replace(path, "kspace", np.ones(shape, np.complex64))
        received = rf"complex64 of shape \({', '.join(map(str, shape))}\)$"
        self.check(path, r"complex `kspace` \(slice, y, x\) or \(slice, coil, y, x\)", received)

    @pytest.mark.parametrize("value", [np.nan, complex(0, np.inf)])
    def test_not_finite(self, path, volume, value):
        kspace = volume.kspace.numpy().copy()
        kspace[0, 1, 2, 3] = value
        self.replace(path, "kspace", kspace)
        self.check(path, "finite k-space", "1 NaN or infinite of 288$")

    def test_all_zeros(self, path):
        self.replace(path, "kspace", np.zeros(SHAPE, np.complex64))
        self.check(path, "k-space with a signal", "zeros only$")

    @pytest.mark.parametrize("shape", [(8,), (2, 6), (3, 6, 8), (1, 3, 8, 6), ()])
    def test_mask_of_another_shape(self, path, shape):
        self.replace(path, "mask", np.ones(shape, bool))
        expected = r"a boolean mask \(x,\) = \(6,\), \(slice, x\) = \(3, 6\) or \(slice, y, x\) = \(3, 8, 6\)"
        self.check(path, expected, rf"torch.bool of shape \({', '.join(map(str, shape))},?\)$")

    def test_mask_of_other_values(self, path):
        self.replace(path, "mask", np.array([0, 1, 0.5, 1, 1, 1]))
        self.check(path, "a mask of zeros and ones", r"0\.5$")

    def test_mask_without_lines(self, path):
        self.replace(path, "mask", np.zeros(6, bool))
        self.check(path, "a mask with sampled lines", "none$")

    @pytest.mark.parametrize("affine", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan)])
    def test_affine(self, path, affine):
        self.replace(path, "affine", affine)
        self.check(path, "an invertible 4 x 4 affine", r"\[\[")

    def test_affine_of_text(self, path):
        self.replace(path, "affine", "identity")
        self.check(path, "an `affine` of real numbers", r"object of shape \(\)$")

    def test_affine_of_complex_numbers(self, path):
        self.replace(path, "affine", np.eye(4) + 0j)
        self.check(path, "an `affine` of real numbers", r"complex128 of shape \(4, 4\)$")

    def test_values_beyond_single_precision(self, path, volume):
        kspace = volume.kspace.to(torch.complex128).numpy()
        kspace[0, 0, 0, 0] = 1e300
        self.replace(path, "kspace", kspace)
        self.check(path, "finite k-space", "1 NaN or infinite of 288$")

    def test_neither_affine_nor_header(self, path, volume):
        write_plain(path, volume.kspace.numpy())
        self.check(path, "an `affine`, or an `ismrmrd_header` with the field of view", "neither$")

    def test_header_of_another_matrix(self, path, volume):
        write_plain(path, volume.kspace.numpy(), header_xml((3, 2, 16, 6), (1, 1, 1)))
        self.check(
            path,
            r"k-space of the encoded matrix \(y, x\) = \(16, 6\), or an `affine`",
            r"\(y, x\) = \(8, 6\)$",
        )

    def test_damaged_header(self, path, volume):
        write_plain(path, volume.kspace.numpy(), "<ismrmrdHeader>")
        self.check(path, "an XML ISMRMRD header", "no element found")

    @pytest.mark.parametrize(
        ("name", "value", "expected", "received"),
        [
            ("sigma", -0.1, "a noise level sigma >= 0", r"-0\.1"),
            ("sigma", np.nan, "a noise level sigma >= 0", "nan"),
            ("sigma", "low", "attribute sigma of type float", "str"),
            ("seed", -1, r"a seed 0\.\.2\*\*63 - 1", "-1"),
            ("seed", 0.5, "attribute seed of type int", "float"),
            ("subject", 7, "attribute subject of type str", "int"),
        ],
    )
    def test_attributes(self, path, name, value, expected, received):
        edit(path, lambda file: file.attrs.__setitem__(name, value))
        self.check(path, expected, f"{received}$")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kspace": torch.ones(SHAPE)},
            r"torch.complex64 k-space \(slice, coil, y, x\), received torch.float32",
        ),
        (
            {"kspace": random_kspace(3, 8, 6)},
            r"torch.complex64 k-space .*, received torch.complex64 of shape \(3, 8, 6\)",
        ),
        (
            {"kspace": random_kspace(*SHAPE) * torch.nan},
            "finite k-space, received 288 NaN or infinite of 288",
        ),
        ({"kspace": torch.zeros(SHAPE, dtype=torch.complex64)}, "k-space with a signal, received zeros only"),
        ({"mask": torch.ones(6)}, r"a boolean mask .*, received torch.float32 of shape \(6,\)"),
        ({"mask": torch.zeros(6, dtype=torch.bool)}, "a mask with sampled lines, received none"),
        ({"affine": np.eye(3)}, r"an invertible 4 x 4 affine, received \[\[1\."),
        ({"sigma": float("inf")}, "a noise level sigma >= 0, received inf"),
        ({"seed": 2**63}, "a seed 0..2\\*\\*63 - 1, received 9223372036854775808"),
        ({"subject": ""}, "a subject, received an empty name"),
    ],
)
def test_a_volume_that_does_not_fit_together_is_not_written(tmp_path, volume, change, message):
    with pytest.raises(InputError, match=rf"x\.h5: write k-space: expected {message}"):
        write_kspace(tmp_path / "x.h5", replace(volume, **change))
    assert not any(tmp_path.iterdir())
