"""Single volumes as BrainWeb hands them out: headerless raw files, MINC, or NIfTI made of either."""

import gzip
import math
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.minc1 import MincError

from kseg.transforms.errors import InputError, require_file
from kseg.transforms.head import canonical
from kseg.transforms.nifti import read_nifti

STAGE = "read BrainWeb"
FORMATS = (".rawb", ".raws", ".mnc", ".nii")
"""Endings of the files that can be read, each also with `.gz`: raw bytes, raw shorts, MINC 1 or 2, NIfTI."""

_GZIP_MAGIC = b"\x1f\x8b"
_BYTES_PER_VOXEL = {".rawb": 1, ".raws": 2}
# What nibabel and the readers below it raise for files that are not MINC, or not all of it.
_DAMAGE = (
    OSError, EOFError, zlib.error, ImageFileError, MincError,
    AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class BrainWebModel:
    """Geometry of one of BrainWeb's anatomical models.

    Attributes:
        name: name of the model, also that of its code table.
        shape: voxels along (z, y, x).
        spacing_mm: size of the cubic voxels, millimetres.
        first_voxel_mm: centre of the first voxel, (x, y, z) RAS millimetres.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: float
    first_voxel_mm: tuple[float, float, float]

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Maps (x, y, z) indices to RAS millimetres, 4 x 4."""
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        affine[:3, 3] = self.first_voxel_mm
        return affine


MODELS = {
    model.name: model
    for model in (
        BrainWebModel("brainweb_20", (362, 434, 362), 0.5, (-90.25, -126.25, -72.25)),
        BrainWebModel("brainweb_normal", (181, 217, 181), 1.0, (-90.0, -126.0, -72.0)),
    )
}
"""The 20 normal models at 0.5 mm, and the original phantom at 1 mm."""


def brainweb_model(name: str) -> BrainWebModel:
    """Look up a model; files do not say which one they hold.

    Raises:
        ValueError: no such model.
    """
    if name not in MODELS:
        raise ValueError(f"BrainWeb model: expected one of {', '.join(MODELS)}, received {name!r}")
    return MODELS[name]


def volume_format(path: Path) -> str:
    """Ending of a file name without `.gz`, such as `.rawb`."""
    return Path(path.name.removesuffix(".gz")).suffix


def read_brainweb_volume(
    path: Path, model: BrainWebModel, largest_short: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read one volume in canonical orientation.

    Raw files are what BrainWeb writes: x fastest, then y, then z, no header. Their byte order is not
    recorded; it is the one in which no short exceeds the largest possible.

    Args:
        path: file in one of the `FORMATS`.
        model: what the file holds.
        largest_short: largest value that a short of this kind of file can have.

    Returns:
        Values `(z, y, x)` as stored, MINC values scaled to real ones, float32; and the affine of the file, or
        that of the model for raw files.

    Raises:
        InputError: unreadable, or not of the size of the model.
    """
    require_file(path, STAGE)
    suffix = volume_format(path)
    if suffix not in FORMATS:
        raise InputError(path, STAGE, f"a name ending in {', '.join(FORMATS)} or these with .gz", path.name)
    if suffix in _BYTES_PER_VOXEL:
        return _read_raw(path, model, _BYTES_PER_VOXEL[suffix], largest_short), model.affine
    array, affine = _read_minc(path) if suffix == ".mnc" else _read_nifti(path)
    if array.ndim != 3:
        raise InputError(path, STAGE, "three axes", f"shape {array.shape}")
    volume, spacing_mm, affine = canonical(array, affine)
    if volume.shape != model.shape:
        expected = f"(z, y, x) = {model.shape} of the model {model.name}"
        raise InputError(path, STAGE, expected, str(volume.shape))
    if not np.allclose(spacing_mm, model.spacing_mm, rtol=0, atol=1e-3):
        expected = f"voxels of {model.spacing_mm:g} mm of the model {model.name}"
        raise InputError(path, STAGE, expected, " x ".join(f"{size:g}" for size in spacing_mm))
    return volume, affine


def _read_raw(path: Path, model: BrainWebModel, n_bytes: int, largest_short: int) -> npt.NDArray[Any]:
    content = _content(path)
    expected = math.prod(model.shape) * n_bytes
    if len(content) != expected:
        wanted = f"{expected} bytes for the model {model.name}, {n_bytes} per voxel"
        raise InputError(path, STAGE, wanted, f"{len(content)} bytes")
    if n_bytes == 1:
        return np.frombuffer(content, np.uint8).reshape(model.shape)
    orders = [np.frombuffer(content, order) for order in ("<u2", ">u2")]
    fitting = [values for values in orders if values.max() <= largest_short]
    if not fitting:
        lowest = min(int(values.max()) for values in orders)
        raise InputError(path, STAGE, f"shorts of at most {largest_short} in either byte order", str(lowest))
    if len(fitting) == 2 and not np.array_equal(fitting[0], fitting[1]):
        raise InputError(path, STAGE, "shorts that only one byte order explains", "both fit")
    return fitting[0].reshape(model.shape)


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path, STAGE, "an intact gzip file", str(error)) from error


def _read_minc(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    # MINC 2 is HDF5, which needs a plain file; unpacking first also verifies the checksum.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        plain = path
        if path.suffix == ".gz":
            plain = Path(folder) / "volume.mnc"
            plain.write_bytes(_content(path))
        try:
            image: Any = nibabel.load(plain)
            return np.asarray(image.dataobj, dtype=np.float32), image.affine
        except _DAMAGE as error:
            received = f"{type(error).__name__}: {error}"
            raise InputError(path, STAGE, "an intact MINC file", received) from error


def _read_nifti(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    volume = read_nifti(path)
    return volume.array, volume.affine
