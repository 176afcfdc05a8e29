import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from kseg.transforms.errors import InputError
from kseg.transforms.nifti import (
    NiftiVolume,
    is_invertible,
    read_label_map,
    read_nifti,
    require_same_grid,
    write_nifti,
)

OBLIQUE = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.3, -0.2, 0.1) @ np.diag([-1.0, 1.2, 3.0]), [90.5, -126.25, -72.125]
)
SHEARED = OBLIQUE @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
MOVED = OBLIQUE + np.array([[0, 0, 0, 0.2], [0] * 4, [0] * 4, [0] * 4])
TURNED = np.diag([-1, -1, 1, 1]) @ OBLIQUE

WRITE_UNTIL_KILLED = """
import sys
import numpy as np
from kseg.transforms.nifti import write_nifti
volume = np.random.default_rng(0).random((200, 200, 50), dtype=np.float32)
print("writing", flush=True)
write_nifti(sys.argv[1], volume, np.eye(4))
"""


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: np.ndarray = OBLIQUE) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED], ids=["oblique", "sheared"])
def test_voxels_come_back_exactly_and_the_affine_to_float32(tmp_path, image, name, affine):
    write_nifti(tmp_path / name, image, affine)
    volume = read_nifti(tmp_path / name)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, image)
    np.testing.assert_array_equal(volume.affine, affine.astype(np.float32))


@pytest.mark.parametrize(("affine", "qform_code"), [(OBLIQUE, 1), (SHEARED, 0)], ids=["oblique", "sheared"])
def test_other_readers_see_the_same_volume(tmp_path, image, affine, qform_code):
    write_nifti(tmp_path / "x.nii.gz", image, affine)
    other = nibabel.load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(other.dataobj), image)
    np.testing.assert_allclose(other.affine, affine, rtol=1e-6)
    assert other.header.get_xyzt_units()[0] == "mm"
    assert (int(other.header["sform_code"]), int(other.header["qform_code"])) == (1, qform_code)
    np.testing.assert_allclose(other.header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6)


def test_itk_places_a_voxel_where_the_affine_does(tmp_path, image):
    write_nifti(tmp_path / "x.nii.gz", image, OBLIQUE)
    itk = SimpleITK.ReadImage(str(tmp_path / "x.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk).T, image)
    lps = np.array(itk.TransformIndexToPhysicalPoint((3, 2, 1)))
    np.testing.assert_allclose(lps * [-1, -1, 1], (OBLIQUE @ [3, 2, 1, 1])[:3], atol=1e-4)


def test_a_slope_scales_what_readers_see_and_keeps_the_stored_bytes(tmp_path):
    stored = np.arange(2 * 3 * 4 * 2 * 2, dtype=np.uint8).reshape(2, 3, 4, 2, 2)
    write_nifti(tmp_path / "x.nii.gz", stored, OBLIQUE, slope=1 / 255)
    other = nibabel.load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(other.dataobj.get_unscaled(), stored)
    np.testing.assert_allclose(other.get_fdata(), stored / 255, rtol=1e-6)
    write_nifti(tmp_path / "y.nii.gz", stored[..., 0, 0], OBLIQUE, slope=0.5)
    np.testing.assert_array_equal(read_nifti(tmp_path / "y.nii.gz").array, stored[..., 0, 0] * 0.5)


def test_same_input_same_bytes(tmp_path, image):
    for name in ("first.nii.gz", "second.nii.gz"):
        write_nifti(tmp_path / name, image, OBLIQUE)
    raw = (tmp_path / "first.nii.gz").read_bytes()
    assert raw == (tmp_path / "second.nii.gz").read_bytes()
    assert raw[4:8] == bytes(4)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL exists on POSIX only")
def test_a_killed_writer_leaves_no_file_under_the_final_name(tmp_path, kill_while_writing):
    kill_while_writing(WRITE_UNTIL_KILLED, tmp_path / "x.nii.gz")
    assert not (tmp_path / "x.nii.gz").exists()


def test_stored_integers_stay_integers_and_byte_order_becomes_native(tmp_path):
    labels = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.save(nibabel.Nifti1Image(labels, OBLIQUE, header), tmp_path / "x.nii")
    volume = read_nifti(tmp_path / "x.nii")
    assert volume.array.dtype == np.dtype("=i2")
    np.testing.assert_array_equal(volume.array, labels)


def test_nifti_2_and_trailing_axes_of_length_one_are_read(tmp_path, image):
    nibabel.save(nibabel.Nifti2Image(image[..., None], OBLIQUE), tmp_path / "x.nii.gz")
    volume = read_nifti(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(volume.array, image)
    np.testing.assert_array_equal(volume.affine, OBLIQUE)


@pytest.mark.parametrize("units", [0, 2, 10])
def test_millimetres_and_no_unit_are_taken_with_and_without_one_of_time(tmp_path, image, units):
    file = nibabel.Nifti1Image(image, OBLIQUE)
    file.header["xyzt_units"] = units
    nibabel.save(file, tmp_path / "x.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "x.nii").affine, OBLIQUE, rtol=1e-6)


def test_an_orientation_that_is_a_guess_is_noted(tmp_path, image):
    file = nibabel.Nifti1Image(image, None)
    file.header.set_zooms((1.0, 2.0, 3.0))
    nibabel.save(file, tmp_path / "x.nii")
    volume = read_nifti(tmp_path / "x.nii")
    assert volume.notes == (
        "neither sform nor qform: the axes of the file are taken to point left, to the front and up",
    )
    np.testing.assert_array_equal(volume.affine[:3, :3], np.diag([-1.0, 2.0, 3.0]))
    for codes in ((1, 0), (0, 1)):
        file = nibabel.Nifti1Image(image, OBLIQUE)
        file.set_sform(OBLIQUE, codes[0])
        file.set_qform(OBLIQUE, codes[1])
        nibabel.save(file, tmp_path / "x.nii")
        assert read_nifti(tmp_path / "x.nii").notes == ()


def test_all_zeros_are_an_image_too(tmp_path, image):
    assert not read_nifti(save(tmp_path / "x.nii.gz", image * 0)).array.any()


def test_near_half_turns_are_no_conflict(tmp_path, image):
    # The quaternion loses most precision here: w is the root of a difference of float32 numbers near 1.
    for angle in np.pi - np.geomspace(1e-5, 1e-2, 40):
        turn = nibabel.quaternions.angle_axis2mat(angle, [0.6, 0.8, 0.0])
        affine = nibabel.affines.from_matvec(turn @ np.diag([0.9, 0.9, 3.0]), [100, 100, 50])
        image_file = nibabel.Nifti1Image(image, affine)
        image_file.set_sform(affine, 1)
        image_file.set_qform(affine, 1)
        nibabel.save(image_file, tmp_path / "x.nii")
        np.testing.assert_allclose(read_nifti(tmp_path / "x.nii").affine, affine, rtol=1e-6, atol=1e-6)


class TestUnusableFiles:
    def check(self, path: Path, expected: str, received: str) -> None:
        message = rf"{path.name}: read NIfTI: expected {expected}, received {received}"
        with pytest.raises(InputError, match=message):
            read_nifti(path)

    def test_missing(self, tmp_path):
        self.check(tmp_path / "x.nii", "a file", "No such file or directory$")

    def test_folder(self, tmp_path):
        (tmp_path / "x.nii").mkdir()
        self.check(tmp_path / "x.nii", "a file", "a folder$")

    def test_unreadable(self, tmp_path, image, monkeypatch):
        def refuse(path: Path) -> bytes:
            raise PermissionError(13, "Permission denied", str(path))

        path = save(tmp_path / "x.nii", image)
        monkeypatch.setattr(Path, "read_bytes", refuse)
        self.check(path, "an intact NIfTI file", "PermissionError: .*Permission denied")

    def test_empty(self, tmp_path):
        (tmp_path / "x.nii.gz").touch()
        self.check(tmp_path / "x.nii.gz", "a file with content", "an empty file$")

    def test_not_nifti(self, tmp_path):
        (tmp_path / "x.nii").write_bytes(b"PNG or anything else")
        self.check(tmp_path / "x.nii", "a single-file NIfTI header", "a file of another kind$")

    def test_half_of_a_header_pair(self, tmp_path, image):
        nibabel.save(nibabel.Nifti1Pair(image, OBLIQUE), tmp_path / "x.img")
        self.check(tmp_path / "x.hdr", "a single-file NIfTI header", "a file of another kind$")

    def test_truncated_nifti_2_header(self, tmp_path, image):
        nibabel.save(nibabel.Nifti2Image(image, OBLIQUE), tmp_path / "x.nii")
        (tmp_path / "x.nii").write_bytes((tmp_path / "x.nii").read_bytes()[:400])
        self.check(tmp_path / "x.nii", "an intact NIfTI file", "WrapStructError: ")

    @pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
    def test_truncated_anywhere(self, tmp_path, image, name):
        raw = save(tmp_path / name, image).read_bytes()
        for length in (5, 60, len(raw) // 2, len(raw) - 1):
            (tmp_path / name).write_bytes(raw[:length])
            self.check(tmp_path / name, ".+", ".+")

    def test_truncated_data_tells_both_sizes(self, tmp_path, image):
        raw = save(tmp_path / "x.nii", image).read_bytes()
        (tmp_path / "x.nii").write_bytes(raw[:-1])
        self.check(tmp_path / "x.nii", r"832 bytes for shape \(4, 5, 6\)", "831 bytes$")

    def test_flipped_byte_in_the_compressed_body(self, tmp_path, image):
        path = save(tmp_path / "x.nii.gz", image)
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
        self.check(path, "an intact NIfTI file", "(BadGzipFile|error): .*")

    def test_wrong_checksum_alone(self, tmp_path, image):
        path = save(tmp_path / "x.nii.gz", image)
        raw = bytearray(path.read_bytes())
        raw[-8] ^= 1
        path.write_bytes(raw)
        self.check(path, "an intact NIfTI file", "BadGzipFile: CRC check failed")

    def test_header_that_claims_far_more_than_there_is(self, tmp_path, image):
        path = save(tmp_path / "x.nii", image)
        raw = bytearray(path.read_bytes())
        raw[42:48] = b"\xff\x7f" * 3
        path.write_bytes(raw)
        self.check(path, r"\d{15} bytes for shape \(32767, 32767, 32767\)", "832 bytes$")

    @pytest.mark.parametrize(
        ("field", "value", "received"),
        [
            ("vox_offset", np.inf, "OverflowError: "),
            ("vox_offset", np.nan, "ValueError: "),
            ("quatern_b", 1e30, "ValueError: w2 should be positive"),
        ],
    )
    def test_headers_without_sense(self, tmp_path, image, field, value, received):
        write_nifti(tmp_path / "x.nii", image, np.eye(4))
        content = bytearray((tmp_path / "x.nii").read_bytes())
        offset = nibabel.Nifti1Header().structarr.dtype.fields[field][1]
        content[offset : offset + 4] = np.float32(value).tobytes()
        (tmp_path / "x.nii").write_bytes(content)
        self.check(tmp_path / "x.nii", "an intact NIfTI file", received)

    def test_no_voxels(self, tmp_path):
        path = save(tmp_path / "x.nii", np.zeros((3, 0, 2), np.uint8))
        self.check(path, "axes of at least one voxel", r"shape \(3, 0, 2\)$")

    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2)])
    def test_rank(self, tmp_path, shape):
        path = save(tmp_path / "x.nii", np.ones(shape, np.float32))
        self.check(path, r"three axes \(x, y, z\)", r"shape \(4, 5.*\)$")

    def test_complex(self, tmp_path, image):
        path = save(tmp_path / "x.nii", image.astype(np.complex64))
        self.check(path, "one real number of at most 64 bits per voxel", "complex64$")

    def test_colour(self, tmp_path):
        path = save(tmp_path / "x.nii", np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")]))
        self.check(path, "one real number of at most 64 bits per voxel", r"\[\('R', 'u1'\)")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, tmp_path, image, value):
        image[1, 2, 3] = value
        self.check(save(tmp_path / "x.nii", image), "finite values", "1 NaN or infinite of 120$")

    def test_affine_without_a_third_direction(self, tmp_path, image):
        flat = OBLIQUE.copy()
        flat[:3, 2] = flat[:3, 1]
        file = nibabel.Nifti1Image(image, None)
        file.header.set_sform(flat, 1)
        nibabel.save(file, tmp_path / "x.nii")
        self.check(tmp_path / "x.nii", "an invertible affine", r"\[\[")

    @pytest.mark.parametrize(("code", "unit"), [(1, "metres"), (3, "micrometres"), (13, "code 5")])
    def test_sizes_in_another_unit(self, tmp_path, image, code, unit):
        file = nibabel.Nifti1Image(image, OBLIQUE)
        file.header["xyzt_units"] = code
        nibabel.save(file, tmp_path / "x.nii")
        self.check(tmp_path / "x.nii", r"millimetres, or no unit \(xyzt_units\)", f"{unit}$")

    def test_sform_spacing_other_than_pixdim(self, tmp_path, image):
        path = tmp_path / "x.nii"
        write_nifti(path, image, np.diag([1.0, 1.0, 3.0, 1.0]))
        raw = bytearray(path.read_bytes())
        raw[88:92] = np.float32(2).tobytes()
        path.write_bytes(raw)
        self.check(tmp_path / "x.nii", r"the sform spacing of pixdim \[1\. 1\. 2\.\]", r"\[1\. 1\. 3\.\]$")

    @pytest.mark.parametrize("qform", [MOVED, TURNED], ids=["moved", "turned"])
    def test_sform_and_qform_that_disagree(self, tmp_path, image, qform):
        file = nibabel.Nifti1Image(image, OBLIQUE)
        file.set_sform(OBLIQUE, 1)
        file.header.set_qform(qform, 1)
        nibabel.save(file, tmp_path / "x.nii")
        self.check(tmp_path / "x.nii", "sform and qform that agree", r"sform \[\[.* and qform \[\[")


class TestLabelMaps:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
    def test_whole_numbers_become_int32(self, tmp_path, dtype):
        codes = np.array([0, 3, 42, 85], dtype).reshape(1, 2, 2)
        volume = read_label_map(save(tmp_path / "x.nii.gz", codes))
        assert volume.array.dtype == np.int32
        np.testing.assert_array_equal(volume.array, codes)
        np.testing.assert_array_equal(volume.affine, OBLIQUE.astype(np.float32))

    def test_largest_label(self, tmp_path):
        assert read_label_map(save(tmp_path / "x.nii", np.full((1, 1, 1), 65535, np.uint16))).array == 65535

    @pytest.mark.parametrize(
        ("value", "expected", "received"),
        [
            (0.5, "whole numbers", r"0\.5"),
            (-1, r"labels 0\.\.65535", "-1"),
            (65536, r"labels 0\.\.65535", "65536"),
        ],
    )
    def test_other_values_are_refused(self, tmp_path, value, expected, received):
        path = save(tmp_path / "x.nii", np.full((2, 2, 2), value, np.float32))
        message = rf"x\.nii: read label map: expected {expected}, received {received}$"
        with pytest.raises(InputError, match=message):
            read_label_map(path)


class TestUnwritableVolumes:
    def check(self, path: Path, array: np.ndarray, message: str, affine=OBLIQUE, slope=None) -> None:
        with pytest.raises(InputError, match=rf"{path.name}: write NIfTI: expected {message}"):
            write_nifti(path, array, affine, slope=slope)
        assert not any(path.parent.iterdir())

    def test_name(self, tmp_path, image):
        self.check(tmp_path / "x.gz", image, r"a name ending in \.nii or \.nii\.gz, received x\.gz$")

    @pytest.mark.parametrize("dtype", [np.float64, np.int16, np.complex64])
    def test_dtype(self, tmp_path, image, dtype):
        self.check(
            tmp_path / "x.nii", image.astype(dtype), f"uint8 or float32 values, received {dtype.__name__}$"
        )

    @pytest.mark.parametrize("shape", [(2, 2), (2, 0, 2), (2,) * 6])
    def test_shape(self, tmp_path, shape):
        message = r"three to five axes of at least one voxel, received shape \(2"
        self.check(tmp_path / "x.nii", np.zeros(shape, np.uint8), message)

    def test_values(self, tmp_path, image):
        image[0, 0, 0] = np.nan
        self.check(tmp_path / "x.nii", image, "finite values, received 1 NaN or infinite of 120$")

    @pytest.mark.parametrize("affine", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan)])
    def test_affine(self, tmp_path, image, affine):
        self.check(tmp_path / "x.nii", image, r"an invertible 4 x 4 affine, received \[\[", affine=affine)

    @pytest.mark.parametrize(("dtype", "slope"), [("f4", 0.5), ("u1", 0.0), ("u1", np.inf), ("u1", np.nan)])
    def test_slope(self, tmp_path, dtype, slope):
        message = "a positive slope for uint8 values, received (0.5|0.0|inf|nan) for (float32|uint8)$"
        self.check(tmp_path / "x.nii", np.ones((2, 2, 2), dtype), message, slope=slope)


def test_invertible():
    assert is_invertible(SHEARED)
    projective = np.eye(4)
    projective[3, 0] = 0.1
    assert not is_invertible(projective)


@pytest.mark.skipif("KSEG_DATA" not in os.environ, reason="KSEG_DATA names no folder of real head label maps")
def test_real_heads_are_read_as_nibabel_reads_them():
    for number in (1, 9):
        path = Path(os.environ["KSEG_DATA"], "heads", f"training_seg_{number:02}.nii.gz")
        volume = read_label_map(path)
        other = nibabel.load(path)
        np.testing.assert_array_equal(volume.array, np.asanyarray(other.dataobj))
        np.testing.assert_array_equal(volume.affine, other.affine)


def test_grids_agree_to_a_thousandth() -> None:
    volume = NiftiVolume(np.zeros((3, 4, 5)), np.eye(4))
    nudged, moved = np.eye(4), np.eye(4)
    nudged[0, 3], moved[2, 3] = 5e-4, 2.5
    require_same_grid(Path("a.nii"), NiftiVolume(np.ones((3, 4, 5)), nudged), volume, "evaluate")
    with pytest.raises(
        InputError,
        match=r"a\.nii: evaluate: expected the same affine to 0\.001, received a difference of 2\.5$",
    ):
        require_same_grid(Path("a.nii"), NiftiVolume(np.zeros((3, 4, 5)), moved), volume, "evaluate")
    with pytest.raises(InputError, match=r"expected grid \(x, y, slice\) \(3, 4, 5\), received \(4, 3, 5\)$"):
        require_same_grid(Path("a.nii"), NiftiVolume(np.zeros((4, 3, 5)), np.eye(4)), volume, "evaluate")
