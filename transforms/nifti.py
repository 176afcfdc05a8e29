"""NIfTI volumes: read completely and checked, written atomically with the affine as given.

Voxel arrays are (x, y, z) in file order; an affine maps voxel indices to RAS millimetres; nothing is flipped.
"""

import gzip
import math
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Image
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError, require_file

READ, WRITE = "read NIfTI", "write NIfTI"
LARGEST_LABEL = 65535
FARTHEST = 1e9
_AFFINE_TOLERANCE = 1e-3
_UNITS = {1: "metres", 3: "micrometres"}
_NOWHERE = "neither sform nor qform: the axes of the file are taken to point left, to the front and up"
GZIP_MAGIC, FAST = b"\x1f\x8b", 1
DAMAGE = (
    OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError, WrapStructError,
)  # fmt: skip

Array = npt.NDArray[Any]
Affine = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NiftiVolume:
    """A volume as it lies in its file.

    Args:
        array: voxel values (x, y, z) in file order, real and finite.
        affine: 4 x 4, maps (x, y, z) indices to RAS millimetres; invertible.
        notes: what is not known.
    """

    array: Array
    affine: Affine
    notes: tuple[str, ...] = ()


def read_nifti(path: str | os.PathLike[str]) -> NiftiVolume:
    """Read a NIfTI-1 or NIfTI-2 volume, compressed or not, and refuse one that is damaged or ambiguous.

    The whole gzip stream is read, so that its checksum is verified. Stored integers stay integers unless the
    file carries a scale. Trailing axes of length 1 are dropped. A file without any orientation gets nibabel's
    default affine, centred on the volume, and a note. Sizes in an unknown unit are taken for millimetres.

    Args:
        path: one file with header and voxels; `.nii` and `.nii.gz` are told apart by content.

    Raises:
        InputError: no such file, empty, truncated, damaged, not NIfTI, not three-dimensional, not real, not
            finite, sizes in another unit than millimetres, or its sform and qform place the volume differently.
    """
    path = Path(path)
    require_file(path, READ)
    try:
        image = _parse(path, _content(path))
        array = np.asanyarray(image.dataobj)
        placed = image.header["sform_code"] != 0 or image.header["qform_code"] != 0
        notes = () if placed else (_NOWHERE,)
        return NiftiVolume(_checked_voxels(path, array), _checked_affine(path, image), notes)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(path, READ, "an intact NIfTI file", f"{type(error).__name__}: {error}") from error


def read_label_map(path: str | os.PathLike[str]) -> NiftiVolume:
    """Read a label map as int32.

    Args:
        path: a NIfTI volume of whole numbers 0..65535, stored as integers or as floating-point numbers.

    Raises:
        InputError: as `read_nifti`, or a label is fractional, negative or above 65535.
    """
    volume = read_nifti(path)
    array = volume.array
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        fraction = array[array != np.rint(array)].flat[0]
        raise InputError(path, "read label map", "whole numbers", f"{fraction:g}")
    low, high = array.min(), array.max()
    if low < 0 or high > LARGEST_LABEL:
        worst = low if low < 0 else high
        raise InputError(path, "read label map", f"labels 0..{LARGEST_LABEL}", f"{worst:g}")
    return replace(volume, array=array.astype(np.int32))


def require_same_grid(path: Path, volume: NiftiVolume, like: NiftiVolume, stage: str) -> None:
    """Require that two volumes have the same shape and, to 1e-3, the same affine.

    Args:
        path: file of the first volume, named in the error.
        volume: the volume that must agree.
        like: the volume it must agree with.
        stage: named in the error.

    Raises:
        InputError: the shapes or the affines differ.
    """
    if volume.array.shape != like.array.shape:
        raise InputError(path, stage, f"grid (x, y, slice) {like.array.shape}", f"{volume.array.shape}")
    difference = float(np.abs(volume.affine - like.affine).max())
    if difference > _AFFINE_TOLERANCE:
        expected = f"the same affine to {_AFFINE_TOLERANCE}"
        raise InputError(path, stage, expected, f"a difference of {difference:.4g}")


def write_nifti(
    path: str | os.PathLike[str], array: Array, affine: Affine, *, slope: float | None = None
) -> None:
    """Write a NIfTI-1 file, millimetres, byte for byte the same for the same input.

    The sform holds the affine (NIfTI stores it as float32). A qform cannot hold shears: it is set only where
    it places the volume as the sform does, and is marked unknown (code 0) otherwise.

    Args:
        path: ends in `.nii.gz` or `.nii`; replaced if it exists.
        array: uint8 or float32 values (x, y, z), or with one or two more axes, finite.
        affine: 4 x 4, maps (x, y, z) indices to RAS millimetres; invertible.
        slope: for uint8 arrays, the value of one step: readers see array * slope.

    Raises:
        InputError: an argument that NIfTI, or a reader of it, could not take as it is.
    """
    path = Path(path)
    _require_writable(path, array, affine, slope)
    header: Any = Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    if not _same_placement(affine, header.get_qform(), tolerance=1e-4):
        header["qform_code"] = 0
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0 if slope is None else slope, 0.0)
    no_extension = bytes(4)
    header.set_data_offset(len(header.binaryblock) + len(no_extension))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        content = header.binaryblock + no_extension + array.tobytes(order="F")
        # Without a time stamp the same volume gives the same bytes.
        file.write(gzip.compress(content, FAST, mtime=0) if path.suffix == ".gz" else content)


def is_invertible(affine: Array) -> bool:
    """Whether voxel indices and millimetres determine each other.

    Args:
        affine: a candidate; it passes when finite, 4 x 4, with last row (0, 0, 0, 1) and no flat direction.

    Example:
        >>> is_invertible(np.diag([1.0, 1.0, 3.0, 1.0])), is_invertible(np.diag([1.0, 0.0, 3.0, 1.0]))
        (True, False)
    """
    if affine.shape != (4, 4) or not (np.abs(affine) < FARTHEST).all() or affine[3].tolist() != [0, 0, 0, 1]:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3])) > 1e-6 * _spacing(affine).prod())


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    # nibabel stops reading before the checksum at the end of a gzip stream; decompressing it whole does not.
    return gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw


def _parse(path: Path, content: bytes) -> Any:
    if content[344:348] == b"n+1\0":
        image: Any = Nifti1Image.from_bytes(content)
    elif content[4:8] == b"n+2\0":
        image = Nifti2Image.from_bytes(content)
    else:
        raise InputError(path, READ, "a single-file NIfTI header", "a file of another kind")
    shape = image.shape
    if min(shape, default=0) < 1:
        raise InputError(path, READ, "axes of at least one voxel", f"shape {shape}")
    # Asked before the array is allocated: a damaged header can claim any size.
    size = image.dataobj.offset + math.prod(shape) * image.get_data_dtype().itemsize
    if len(content) < size:
        raise InputError(path, READ, f"{size} bytes for shape {shape}", f"{len(content)} bytes")
    return image


def _checked_voxels(path: Path, array: Array) -> Array:
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise InputError(path, READ, "one real number of at most 64 bits per voxel", str(array.dtype))
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise InputError(path, READ, "three axes (x, y, z)", f"shape {array.shape}")
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise InputError(path, READ, "finite values", f"{bad} NaN or infinite of {array.size}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _checked_affine(path: Path, image: Any) -> Affine:
    unit = int(image.header["xyzt_units"]) & 7
    if unit not in (0, 2):
        received = _UNITS.get(unit, f"code {unit}")
        raise InputError(path, READ, "millimetres, or no unit (xyzt_units)", received)
    affine: Affine = image.affine
    if not is_invertible(affine):
        raise InputError(path, READ, "an invertible affine", str(affine))
    sform, qform = image.header.get_sform(coded=True)[0], image.header.get_qform(coded=True)[0]
    spacing = np.abs(image.header.get_zooms()[:3])
    if sform is not None and not np.allclose(_spacing(sform), spacing, rtol=0, atol=1e-3):
        raise InputError(path, READ, f"the sform spacing of pixdim {spacing}", f"{_spacing(sform)}")
    if sform is not None and qform is not None and not _same_placement(sform, qform, tolerance=2e-3):
        received = f"sform {sform[:3].tolist()} and qform {qform[:3].round(4).tolist()}"
        raise InputError(path, READ, "sform and qform that agree", received)
    return affine


def _require_writable(path: Path, array: Array, affine: Affine, slope: float | None) -> None:
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(path, WRITE, "a name ending in .nii or .nii.gz", path.name)
    if array.dtype not in (np.uint8, np.float32):
        raise InputError(path, WRITE, "uint8 or float32 values", str(array.dtype))
    if not 3 <= array.ndim <= 5 or array.size == 0:
        raise InputError(path, WRITE, "three to five axes of at least one voxel", f"shape {array.shape}")
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise InputError(path, WRITE, "finite values", f"{bad} NaN or infinite of {array.size}")
    if not is_invertible(affine):
        raise InputError(path, WRITE, "an invertible 4 x 4 affine", str(affine))
    if slope is not None and (array.dtype != np.uint8 or not 0 < slope < np.inf):
        raise InputError(path, WRITE, "a positive slope for uint8 values", f"{slope} for {array.dtype}")


def _spacing(affine: Affine) -> Affine:
    spacing: Affine = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing


def _same_placement(sform: Affine, qform: Affine, tolerance: float) -> bool:
    # The tolerance is on direction cosines: near half turns a float32 quaternion is exact to 7e-4 only.
    spacing = _spacing(sform)
    directions = np.abs(sform - qform)[:3, :3] / spacing
    return bool(directions.max() <= tolerance and np.abs(sform - qform)[:3, 3].max() <= 0.1)
