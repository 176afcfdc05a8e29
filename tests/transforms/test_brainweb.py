import gzip
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from kseg.transforms.brainweb import read_brainweb, read_brainweb_fuzzy
from kseg.transforms.brainweb_volume import MODELS, brainweb_model
from kseg.transforms.errors import InputError

SHAPE = (6, 8, 10)
FUZZY_20 = ("csf", "gm", "wm", "fat", "muscles", "muscles_skin", "skull", "vessels", "fat2", "dura", "marrow")
FUZZY_NORMAL = ("csf", "gry", "wht", "fat", "m+s", "skn", "skl", "mit")
TISSUES_20 = (
    "csf", "gm", "wm", "fat", "muscle", "skin", "bone", "vessel", "connective", "dura", "marrow",
)  # fmt: skip


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, model in list(MODELS.items()):
        monkeypatch.setitem(MODELS, name, replace(model, shape=SHAPE))


def labels(n_codes: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, n_codes, shape).astype(np.uint8)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def write_nifti(path: Path, values: np.ndarray, spacing_mm: float) -> Path:
    """Values (z, y, x), stored as (-y, z, x)."""
    affine = np.zeros((4, 4))
    affine[0, 2] = affine[2, 1] = spacing_mm
    affine[1, 0] = -spacing_mm
    affine[:, 3] = (-7, spacing_mm * (values.shape[1] - 1) - 8, -9, 1)
    stored = np.ascontiguousarray(values.transpose(1, 0, 2)[::-1])
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(("model", "n_codes"), [("brainweb_20", 12), ("brainweb_normal", 11)])
def test_raw_bytes_are_labels_with_x_fastest(tmp_path, small_models, packed, model, n_codes):
    codes = labels(n_codes)
    head = read_brainweb(write(tmp_path / f"crisp.rawb{packed}", codes.tobytes()), model)
    expected = np.where(codes == 8, 2, np.where(codes > 8, codes - 1, codes)) if n_codes == 11 else codes
    np.testing.assert_array_equal(head.indices, expected)
    assert head.spacing_mm == (MODELS[model].spacing_mm,) * 3
    np.testing.assert_array_equal(head.affine, MODELS[model].affine)
    assert head.tissues[expected[1, 2, 3]] == head.tissues[head.indices[1, 2, 3]]


def test_the_codes_of_the_two_models_differ(tmp_path, small_models):
    path = write(tmp_path / "crisp.rawb", labels(11).tobytes())
    twenty, normal = read_brainweb(path, "brainweb_20"), read_brainweb(path, "brainweb_normal")
    where = labels(11) == 10
    assert {twenty.tissues[index] for index in twenty.indices[where]} == {"dura"}
    assert {normal.tissues[index] for index in normal.indices[where]} == {"lesion"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_raw_shorts_carry_the_label_in_their_upper_bits(tmp_path, small_models, order, packed):
    codes = labels(12)
    stray_bits = np.random.default_rng(1).integers(0, 16, SHAPE)
    shorts = ((codes.astype(np.uint16) << 4) + stray_bits).astype(f"{order}u2")
    head = read_brainweb(write(tmp_path / f"crisp.raws{packed}", shorts.tobytes()), "brainweb_20")
    np.testing.assert_array_equal(head.indices, codes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_nifti_gives_labels_in_canonical_orientation(tmp_path, small_models, dtype):
    path = write_nifti(tmp_path / "crisp.nii.gz", labels(12).astype(dtype), 0.5)
    head = read_brainweb(path, "brainweb_20")
    np.testing.assert_array_equal(head.indices, labels(12))
    np.testing.assert_allclose(head.affine, [[0.5, 0, 0, -7], [0, 0.5, 0, -8], [0, 0, 0.5, -9], [0, 0, 0, 1]])


def test_models_have_the_size_of_their_files():
    # 1 mm volumes of BrainWeb are 7109137 bytes, those of the 20 models eight times that and one voxel more.
    assert np.prod(brainweb_model("brainweb_normal").shape) == 7_109_137
    assert np.prod(brainweb_model("brainweb_20").shape) == 56_873_096


def test_a_volume_of_full_size_is_read(tmp_path):
    content = np.zeros((181, 217, 181), dtype=np.uint8)
    content[80:100, 90:120, 60:120] = 2
    head = read_brainweb(
        write(tmp_path / "phantom_1.0mm_normal_crisp.rawb.gz", content.tobytes()), "brainweb_normal"
    )
    np.testing.assert_array_equal(head.indices, content)


def test_a_volume_of_the_other_model_is_refused(tmp_path):
    path = write(tmp_path / "crisp.rawb.gz", bytes(7_109_137))
    message = r"expected 56873096 bytes for the model brainweb_20, 1 per voxel, received 7109137 bytes"
    with pytest.raises(InputError, match=message):
        read_brainweb(path, "brainweb_20")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.rawb", bytes([14]) * 480, r"expected labels of the model brainweb_20, received .* received 14"),
        # Labels that were not shifted look like stray bits.
        (
            "c.raws",
            bytes([2, 0]) * 480,
            r"expected a head with grey matter, received labels 0\.\.0 without any",
        ),
    ],
)
def test_labels_that_cannot_be_are_refused(tmp_path, small_models, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=rf"^{path}: read BrainWeb: {message}"):
        read_brainweb(path, "brainweb_20")


def test_fractional_labels_are_refused(tmp_path, small_models):
    path = write_nifti(tmp_path / "c.nii", labels(12) * np.float32(0.3), 0.5)
    with pytest.raises(InputError, match=r"expected whole labels 0\.\.255, received 0\.\.3\.3, or fractions"):
        read_brainweb(path, "brainweb_20")


def test_an_unknown_model_is_refused(tmp_path):
    message = r"BrainWeb model: expected one of brainweb_20, brainweb_normal, received '20'"
    with pytest.raises(ValueError, match=message):
        read_brainweb(tmp_path / "x.rawb", "20")
    with pytest.raises(ValueError, match=message):
        read_brainweb_fuzzy(tmp_path, "x", "20")


def shares(n: int) -> np.ndarray:
    values = np.random.default_rng(2).random((n, *SHAPE))
    return values / (1.1 * values.sum(0))


def pairs(volume: np.ndarray) -> np.ndarray:
    return sum(volume[z::2, y::2, x::2] for z in (0, 1) for y in (0, 1) for x in (0, 1)) / 8


FUZZY_WRITERS = {
    "rawb": lambda path, share: write(path, np.rint(255 * share).astype(np.uint8).tobytes()),
    "rawb.gz": lambda path, share: write(path, np.rint(255 * share).astype(np.uint8).tobytes()),
    "raws": lambda path, share: write(path, np.rint(4095 * share).astype("<u2").tobytes()),
    "raws.gz": lambda path, share: write(path, np.rint(4095 * share).astype(">u2").tobytes()),
    "nii": lambda path, share: write_nifti(path, np.rint(4095 * share).astype(np.int16), 0.5),
    "nii.gz": lambda path, share: write_nifti(path, share.astype(np.float32), 0.5),
}


@pytest.mark.parametrize("ending", FUZZY_WRITERS)
def test_fuzzy_shares_of_the_20_models_are_averaged_to_1_mm(tmp_path, small_models, ending):
    expected = shares(11)
    for name, share in zip(FUZZY_20, expected, strict=True):
        FUZZY_WRITERS[ending](tmp_path / f"subject04_{name}_v.{ending}", share)
    head = read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")
    assert head.tissues == ("air", *TISSUES_20)
    assert head.spacing_mm == (1.0, 1.0, 1.0)
    for tissue, share in zip(TISSUES_20, expected, strict=True):
        np.testing.assert_allclose(head.membership(tissue), pairs(share), atol=2.1e-3)
    np.testing.assert_allclose(head.memberships.sum(0), 1, atol=1e-5)
    if ending.startswith("raw"):
        np.testing.assert_allclose(head.affine[:, 3], [-90, -126, -72, 1])
    np.testing.assert_allclose(np.diag(head.affine), 1)


def test_fuzzy_shares_of_the_original_phantom_stay_at_1_mm_and_glial_matter_is_grey(tmp_path, small_models):
    expected = shares(9)
    for name, share in zip((*FUZZY_NORMAL, "gli"), expected, strict=True):
        FUZZY_WRITERS["rawb.gz"](tmp_path / f"phantom_1.0mm_normal_{name}.rawb.gz", share)
    head = read_brainweb_fuzzy(tmp_path, "phantom_1.0mm_normal", "brainweb_normal")
    assert head.memberships.shape == (9, *SHAPE)
    np.testing.assert_allclose(head.membership("gm"), expected[1] + expected[8], atol=5e-3)
    np.testing.assert_allclose(head.membership("connective"), expected[7], atol=3e-3)
    np.testing.assert_array_equal(head.affine, MODELS["brainweb_normal"].affine)


def write_zeros_but(folder: Path, **contents: bytes) -> None:
    for name in FUZZY_20:
        write(folder / f"subject04_{name}.raws", contents.get(name, bytes(960)))


def test_the_floor_of_vessel_volumes_is_no_vessel(tmp_path, small_models):
    sixteen = np.full(SHAPE, 16, dtype="<u2")
    sixteen[:2, :2, :2] = 4095
    write_zeros_but(tmp_path, vessels=sixteen.tobytes(), dura=np.minimum(sixteen, 100).tobytes())
    head = read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")
    assert head.membership("vessel")[0, 0, 0] == 1
    assert head.membership("vessel").sum() == 1
    assert head.membership("dura").min() > 0


def test_byte_order_of_fuzzy_shorts_must_be_certain(tmp_path, small_models):
    write_zeros_but(tmp_path, gm=np.full(SHAPE, 0x0100, dtype="<u2").tobytes())
    message = r"gm\.raws: read BrainWeb: expected shorts that only one byte order explains, received both fit"
    with pytest.raises(InputError, match=message):
        read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")


def test_a_missing_tissue_is_named(tmp_path, small_models):
    write_zeros_but(tmp_path)
    (tmp_path / "subject04_gm.raws").unlink()
    message = r"expected a file subject04_gm\[_v\] or subject04_gry\[_v\] ending in .*, received none"
    with pytest.raises(InputError, match=message):
        read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")


def test_two_files_of_a_tissue_are_refused(tmp_path, small_models):
    write_zeros_but(tmp_path)
    write(tmp_path / "subject04_gm_v.rawb.gz", bytes(480))
    message = r"expected one file per tissue, received subject04_gm\.raws, subject04_gm_v\.rawb\.gz"
    with pytest.raises(InputError, match=message):
        read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")


def test_values_beyond_full_scale_are_refused(tmp_path, small_models):
    write_zeros_but(tmp_path)
    (tmp_path / "subject04_gm.raws").unlink()
    write_nifti(tmp_path / "subject04_gm.nii.gz", 255 * shares(2)[0].astype(np.float32), 0.5)
    with pytest.raises(InputError, match=r"gm\.nii\.gz: read BrainWeb: expected values 0\.\.1, received"):
        read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")


def test_shares_that_add_up_to_more_than_a_voxel_are_refused(tmp_path, small_models):
    half = np.full(SHAPE, 2047, dtype="<u2").tobytes()
    write_zeros_but(tmp_path, gm=half, wm=half, csf=half)
    with pytest.raises(InputError, match=r"expected shares that add up to at most 1, received up to 1\.50"):
        read_brainweb_fuzzy(tmp_path, "subject04", "brainweb_20")
