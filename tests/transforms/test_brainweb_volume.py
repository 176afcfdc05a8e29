import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from scipy.io import netcdf_file

from kseg.transforms.brainweb_volume import MODELS, brainweb_model, read_brainweb_volume, volume_format
from kseg.transforms.errors import InputError

SHAPE = (6, 8, 10)


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, model in list(MODELS.items()):
        monkeypatch.setitem(MODELS, name, replace(model, shape=SHAPE))


def read(path: Path, largest_short: int = 255) -> tuple[np.ndarray, np.ndarray]:
    return read_brainweb_volume(path, brainweb_model("brainweb_20"), largest_short)


def values(largest: int = 255, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, largest + 1, shape)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def write_minc1(path: Path, values: np.ndarray, spacing_mm: float, largest: float) -> Path:
    """Values (z, y, x); x runs backwards in the file, so that orientation matters."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    with netcdf_file(plain, "w") as file:
        for name, size in zip(("zspace", "yspace", "xspace"), values.shape, strict=True):
            file.createDimension(name, size)
            axis = file.createVariable(name, "i", ())
            axis.spacing, axis.start, axis.step = b"regular__", -5.0, spacing_mm
            if name == "xspace":
                axis.start, axis.step = -5.0 + spacing_mm * (size - 1), -spacing_mm
        image = file.createVariable("image", "b", ("zspace", "yspace", "xspace"))
        image.signtype, image.valid_range = b"unsigned", np.array([0.0, 255.0])
        image[:] = values[:, :, ::-1].view(np.int8)
        for name, value in (("image-max", largest), ("image-min", 0.0)):
            file.createVariable(name, "d", ()).data[...] = value
    if path != plain:
        write(path, plain.read_bytes())
        plain.unlink()
    return path


def write_minc2(path: Path, values: np.ndarray, spacing_mm: float, largest: float) -> Path:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    with h5py.File(plain, "w") as file:
        root = file.create_group("minc-2.0")
        for name in ("zspace", "yspace", "xspace"):
            axis = root.create_dataset(f"dimensions/{name}", data=0)
            axis.attrs.update(spacing=np.bytes_(b"regular__"), start=-5.0, step=spacing_mm)
        image = root.create_dataset("image/0/image", data=values)
        image.attrs.update(dimorder=np.bytes_(b"zspace,yspace,xspace"), valid_range=[0.0, 255.0])
        root["image/0"].create_dataset("image-max", data=largest)
        root["image/0"].create_dataset("image-min", data=0.0)
    if path != plain:
        write(path, plain.read_bytes())
        plain.unlink()
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


@pytest.mark.parametrize(
    ("name", "ending"), [("a.rawb", ".rawb"), ("a.b.raws.gz", ".raws"), ("a.mnc.gz", ".mnc"), ("a.gz", "")]
)
def test_the_ending_tells_the_format(name, ending):
    assert volume_format(Path("x.y") / name) == ending


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_raw_bytes_lie_with_x_fastest_at_the_place_of_the_model(tmp_path, packed):
    content = bytes(range(240)) * 2
    volume, affine = read(write(tmp_path / f"a.rawb{packed}", content))
    assert volume.dtype == np.uint8
    assert volume.shape == SHAPE
    assert volume[0, 0].tolist() == list(range(10))
    assert volume[0, :, 0].tolist() == list(range(0, 80, 10))
    np.testing.assert_array_equal(affine @ [0, 0, 0, 1], [-90.25, -126.25, -72.25, 1])
    np.testing.assert_array_equal(affine @ [2, 4, 6, 1], [-89.25, -124.25, -69.25, 1])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("largest", [255, 4095])
def test_the_byte_order_of_raw_shorts_is_found(tmp_path, order, largest):
    shorts = values(largest)
    volume, _ = read(write(tmp_path / "a.raws", shorts.astype(f"{order}u2").tobytes()), largest)
    np.testing.assert_array_equal(volume, shorts)


def test_zeros_are_the_same_in_both_byte_orders(tmp_path):
    assert (read(write(tmp_path / "a.raws.gz", bytes(960)))[0] == 0).all()


@pytest.mark.parametrize("writer", [write_minc1, write_minc2])
@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(("largest", "scale"), [(255.0, 1.0), (1.0, 1 / 255)])
def test_minc_gives_real_values_in_canonical_orientation(tmp_path, writer, packed, largest, scale):
    stored = values().astype(np.uint8)
    volume, affine = read(writer(tmp_path / f"a.mnc{packed}", stored, 0.5, largest))
    np.testing.assert_allclose(volume, stored * scale, rtol=1e-6)
    np.testing.assert_allclose(affine, [[0.5, 0, 0, -5], [0, 0.5, 0, -5], [0, 0, 0.5, -5], [0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_nifti_gives_values_in_canonical_orientation(tmp_path, dtype):
    stored = values().astype(dtype)
    volume, affine = read(write_nifti(tmp_path / "a.nii.gz", stored, 0.5))
    np.testing.assert_array_equal(volume, stored)
    assert volume.dtype == dtype
    np.testing.assert_allclose(affine, [[0.5, 0, 0, -7], [0, 0.5, 0, -8], [0, 0, 0.5, -9], [0, 0, 0, 1]])


def refused_raw(folder: Path) -> tuple[Path, str]:
    return write(
        folder / "c.rawb", values(11).astype(np.uint8).tobytes()[:-1]
    ), r"expected 480 bytes .*, received 479 bytes"


def refused_wide(folder: Path) -> tuple[Path, str]:
    return write(
        folder / "c.raws", values(11).astype(np.uint8).tobytes()
    ), r"expected 960 bytes .*, 2 per voxel, received 480 bytes"


def refused_short(folder: Path) -> tuple[Path, str]:
    values = np.full(SHAPE, 0x0101, dtype="<u2")
    return write(folder / "c.raws", values.tobytes()), r"expected shorts of at most 255 .*, received 257"


def refused_order(folder: Path) -> tuple[Path, str]:
    shorts = np.full(SHAPE, 0x1010, dtype="<u2")
    shorts[0] = 0x0110
    return write(folder / "c.raws", shorts.tobytes()), r"expected shorts of at most 255 .*, received 4112"


def refused_gzip(folder: Path) -> tuple[Path, str]:
    path = write(folder / "c.rawb.gz", values(11).astype(np.uint8).tobytes())
    path.write_bytes(path.read_bytes()[:-20])
    return path, r"expected an intact gzip file, received"


def refused_minc(folder: Path) -> tuple[Path, str]:
    return write(folder / "c.mnc", b"CDF\x01" + bytes(40)), r"expected an intact MINC file, received"


def refused_truncated_minc(folder: Path) -> tuple[Path, str]:
    path = write_minc1(folder / "c.mnc", values(11).astype(np.uint8), 0.5, 255.0)
    path.write_bytes(path.read_bytes()[:-200])
    return path, r"expected an intact MINC file, received"


def refused_shape(folder: Path) -> tuple[Path, str]:
    path = write_minc1(folder / "c.mnc", values(11, (5, 8, 10)).astype(np.uint8), 0.5, 255.0)
    return path, r"expected \(z, y, x\) = \(6, 8, 10\) of the model brainweb_20, received \(5, 8, 10\)"


def refused_spacing(folder: Path) -> tuple[Path, str]:
    path = write_nifti(folder / "c.nii.gz", values(11).astype(np.uint8), 1.0)
    return path, r"expected voxels of 0\.5 mm of the model brainweb_20, received 1 x 1 x 1"


def refused_rank(folder: Path) -> tuple[Path, str]:
    path = folder / "c.mnc"
    with netcdf_file(path, "w") as file:
        for name in ("time", "zspace", "yspace", "xspace"):
            file.createDimension(name, 2)
            file.createVariable(name, "i", ()).spacing = b"regular__"
        image = file.createVariable("image", "b", ("time", "zspace", "yspace", "xspace"))
        image.signtype = b"unsigned"
        for name in ("image-max", "image-min"):
            file.createVariable(name, "d", ()).data[...] = 0.0
    return path, r"expected three axes, received shape \(2, 2, 2, 2\)"


def refused_name(folder: Path) -> tuple[Path, str]:
    path = write(folder / "c.bin", values(11).astype(np.uint8).tobytes())
    return path, r"expected a name ending in \.rawb, \.raws, \.mnc, \.nii .*, received c\.bin"


def refused_missing(folder: Path) -> tuple[Path, str]:
    return folder / "none.rawb", r"expected a file, received"


@pytest.mark.parametrize("case", [value for name, value in globals().items() if name.startswith("refused_")])
def test_unusable_files_say_what_was_expected(
    tmp_path, small_models, case: Callable[[Path], tuple[Path, str]]
):
    path, message = case(tmp_path)
    with pytest.raises(InputError, match=rf"^{path}: read BrainWeb: {message}"):
        read(path)


def test_an_unknown_model_is_refused():
    message = r"BrainWeb model: expected one of brainweb_20, brainweb_normal, received '20'"
    with pytest.raises(ValueError, match=message):
        brainweb_model("20")
