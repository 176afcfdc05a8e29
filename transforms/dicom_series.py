"""Series of MR images in DICOM: the files of one series as one volume, on the grid that their headers tell.

DICOM's patient coordinates (LPS) become RAS by the sign of their first two axes; voxels are not moved.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.uid import UID, MRImageStorage

from kseg.transforms.dicom_file import READ, is_dicom, read_elements, read_pixels, unheard
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import NiftiVolume, is_invertible

_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_ELEMENTS = (
    *_GEOMETRY,
    "SOPClassUID",
    "Modality",
    "SliceThickness",
    "EchoTime",
    "SpacingBetweenSlices",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
)
_MODALITIES = (
    "CT",
    "PT",
    "NM",
    "US",
    "CR",
    "DX",
    "MG",
    "XA",
    "RF",
    "OT",
    "SC",
    "SM",
    "SEG",
    "RTIMAGE",
    "RTDOSE",
)
_COLOURS = ("MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_SAME_DIRECTION = 1e-3
_SAME_STEP = 0.02
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """A series as a volume.

    Attributes:
        volume: voxels `(column, row, slice)` and the affine of these indices.
        files: the file of each slice, in the order of the slices.
    """

    volume: NiftiVolume
    files: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class _Plane:
    """Where an image lies: `position` of the first pixel, directions of rows and columns; LPS, millimetres."""

    path: Path
    position: Vectors
    along_row: Vectors
    along_column: Vectors
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    thickness_mm: float | None
    echo_time: float | None


@unheard()
def series_files(path: Path) -> list[Path]:
    """Find the files of a series.

    Args:
        path: any file of the series; the others lie in the same folder.

    Returns:
        The files by name.

    Raises:
        InputError: a file that cannot be read, or is of no series.
    """
    wanted = _series_of(path)
    if wanted is None:
        raise InputError(path, READ, "an image of a series (SeriesInstanceUID)", "none")
    found = [path]
    for entry in os.scandir(path.parent):
        other = path.parent / entry.name
        if other != path and not entry.name.startswith(".") and is_dicom(other):
            try:
                if _series_of(other) == wanted:
                    found.append(other)
            except InputError:
                continue  # nothing tells that it belongs here; it is a case of its own
    return sorted(found)


@unheard()
def read_dicom_series(path: Path) -> DicomSeries:
    """Read a series of MR images as a volume.

    The slices are sorted by their position along the normal of the images. They have to be parallel, equally far
    apart, and one at each position. Slices that are shifted along the plane are taken as they are: their affine
    is sheared.

    Args:
        path: any file of the series; the others lie in the same folder.

    Raises:
        InputError: a file that is damaged or truncated; images of another modality, in colour or with several
            frames; images that make no volume.
    """
    planes = [_read_plane(file) for file in series_files(path)]
    _require_alike(path, planes)
    normal: Vectors = np.cross(planes[0].along_row, planes[0].along_column).astype(np.float64)
    planes.sort(key=lambda plane: float(plane.position @ normal))
    affine = _affine(path, planes, normal)
    slices = []
    for plane in planes:
        slices.append(read_pixels(plane.path).T)
        if slices[-1].shape != plane.shape[::-1]:
            received = f"{slices[-1].shape[::-1]}"
            raise InputError(plane.path, READ, f"pixels (row, column) = {plane.shape}", received)
    return DicomSeries(NiftiVolume(np.stack(slices, axis=-1), affine), tuple(plane.path for plane in planes))


def _series_of(path: Path) -> Any:
    return read_elements(path, ("SeriesInstanceUID",))["SeriesInstanceUID"]


def _read_plane(path: Path) -> _Plane:
    header = read_elements(path, _ELEMENTS)
    _require_mr_image(path, header)
    values = {}
    for keyword, count in zip(_GEOMETRY, (3, 6, 2, 1, 1), strict=True):
        value = np.atleast_1d(np.asarray(header[keyword]))
        if value.dtype.kind not in "if" or value.shape != (count,) or not np.isfinite(value).all():
            # A text in the place of numbers could be anybody's name.
            received = str(header[keyword]) if value.dtype.kind in "if" else "none"
            raise InputError(path, READ, f"{keyword} of {count} number(s)", received)
        values[keyword] = value
    along_row, along_column = values["ImageOrientationPatient"].reshape(2, 3)
    cosines = np.array([along_row @ along_row, along_column @ along_column, along_row @ along_column])
    if np.abs(cosines - (1, 1, 0)).max() > _SAME_DIRECTION:
        received = str(header["ImageOrientationPatient"])
        raise InputError(path, READ, "perpendicular directions of length 1", received)
    if (values["PixelSpacing"] <= 0).any():
        raise InputError(path, READ, "a positive PixelSpacing", str(header["PixelSpacing"]))
    return _Plane(
        path=path,
        position=values["ImagePositionPatient"].astype(np.float64),
        along_row=along_row.astype(np.float64),
        along_column=along_column.astype(np.float64),
        spacing_mm=(float(values["PixelSpacing"][0]), float(values["PixelSpacing"][1])),
        shape=(int(values["Rows"][0]), int(values["Columns"][0])),
        thickness_mm=_number(header["SpacingBetweenSlices"]) or _number(header["SliceThickness"]),
        echo_time=_number(header["EchoTime"]),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, float | int) and np.isfinite(value) else None


def _require_mr_image(path: Path, header: dict[str, Any]) -> None:
    modality, frames, kind = (header[name] for name in ("Modality", "NumberOfFrames", "SOPClassUID"))
    if modality != "MR":
        raise InputError(path, READ, "modality MR", _known(modality, _MODALITIES))
    if kind != MRImageStorage or frames not in (None, 1):
        name = UID(str(kind)).name
        received = "none" if kind is None else "another class" if name == kind else name
        received += f" with {frames} frames" if isinstance(frames, int) else ""
        raise InputError(path, READ, "MR Image Storage with one frame", received)
    colours, kind = header["SamplesPerPixel"], header["PhotometricInterpretation"]
    if colours not in (None, 1):
        raise InputError(path, READ, "one value per pixel", str(_number(colours)))
    if kind != "MONOCHROME2":
        raise InputError(path, READ, "grey values, MONOCHROME2", _known(kind, _COLOURS))


def _known(value: Any, known: tuple[str, ...]) -> str:
    """Repeat a value only if it is one of those that are expected: in a damaged header it could be a name."""
    return "none" if value is None else value if value in known else "another"


def _require_alike(path: Path, planes: Sequence[_Plane]) -> None:
    first = planes[0]
    differences: dict[str, Callable[[_Plane], bool]] = {
        "one size (row, column)": lambda plane: plane.shape != first.shape,
        "one pixel spacing": lambda plane: not np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-3),
        "one orientation": lambda plane: (
            not (
                np.allclose(plane.along_row, first.along_row, rtol=0, atol=_SAME_DIRECTION)
                and np.allclose(plane.along_column, first.along_column, rtol=0, atol=_SAME_DIRECTION)
            )
        ),
    }
    for what, different in differences.items():
        others = [plane.path.name for plane in planes if different(plane)]
        if others:
            received = f"another in {len(others)} of {len(planes)} images, {others[0]} the first"
            raise InputError(path, READ, f"a series of {what}", received)


def _affine(path: Path, planes: Sequence[_Plane], normal: Vectors) -> Vectors:
    first = planes[0]
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.spacing_mm[1]
    affine[:3, 1] = first.along_column * first.spacing_mm[0]
    affine[:3, 2] = _step(path, planes, normal)
    affine[:3, 3] = first.position
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    if not is_invertible(affine):
        raise InputError(path, READ, "slices that span a volume", str(affine.round(3).tolist()))
    return affine


def _step(path: Path, planes: Sequence[_Plane], normal: Vectors) -> Vectors:
    """From a slice to the next."""
    if len(planes) == 1:
        thickness = planes[0].thickness_mm
        if thickness is None or thickness <= 0:
            raise InputError(path, READ, "a positive SliceThickness of a single slice", str(thickness))
        step: Vectors = normal * thickness
        return step
    positions = np.stack([plane.position for plane in planes])
    steps = np.diff(positions, axis=0)
    typical = np.median(steps, axis=0)
    tolerance = _SAME_STEP * max(float(np.linalg.norm(typical)), 1e-3)
    same = np.flatnonzero(np.abs(steps @ normal) <= max(tolerance, 1e-3))
    if len(same):
        one, other = planes[same[0]], planes[same[0] + 1]
        received = f"{one.path.name} and {other.path.name} at the same"
        if one.echo_time != other.echo_time:
            received += f", of echo times {one.echo_time} and {other.echo_time} ms"
        raise InputError(path, READ, "one image at each position", received)
    uneven = np.flatnonzero(np.linalg.norm(steps - typical, axis=1) > tolerance)
    if len(uneven):
        one, other = planes[uneven[0]], planes[uneven[0] + 1]
        distance = float(np.linalg.norm(steps[uneven[0]]))
        expected = f"slices {np.linalg.norm(typical):.4g} mm apart"
        received = f"{distance:.4g} mm between {one.path.name} and {other.path.name}; is a slice missing?"
        raise InputError(path, READ, expected, received)
    mean: Vectors = (positions[-1] - positions[0]) / (len(positions) - 1)
    return mean
