"""Files of DICOM: only the elements that are asked for are parsed, and no patient's name is among them."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from kseg.transforms.errors import InputError, require_file

READ = "read DICOM"
_PREAMBLE, _MAGIC = 128, b"DICM"
_LIBRARIES = ("pydicom", "highdicom")
_PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelData",
)

# One decoder for each compression. GDCM ends the process on damaged JPEG-LS; the others raise errors.
_DECODERS = {
    RLELossless: "pydicom",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pillow",
    JPEG2000: "pillow",
    JPEGLosslessSV1: "gdcm",
    JPEGLossless: "gdcm",
}

Result = TypeVar("Result")


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as DICOM files do; their names often have no suffix that would tell.

    Args:
        path: any path; what cannot be read is not DICOM.
    """
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with open(path, "rb") as file:
            return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def read_elements(path: Path, keywords: Sequence[str]) -> dict[str, Any]:
    """Read some elements of a header, and of the file no more than it takes to get to the last of them.

    Args:
        path: the file.
        keywords: names of the elements in the DICOM dictionary.

    Returns:
        Value by keyword: numbers, texts, or lists of them; None where the element is missing or empty.

    Raises:
        InputError: no such file, not DICOM, or damaged.
    """
    tags = [tag_for_keyword(keyword) or 0 for keyword in keywords]
    last = max(tags)

    def beyond(tag: BaseTag, vr: str | None, length: int) -> bool:
        return int(tag) > last

    def read() -> dict[str, Any]:
        with path.open("rb") as file:
            header = read_partial(file, stop_when=beyond, specific_tags=[*tags])
        return {keyword: _plain(header.get(keyword)) for keyword in keywords}

    _require_dicom(path)
    return _guarded(path, "an intact header", read)


def read_pixels(path: Path) -> npt.NDArray[np.float32]:
    """Read the image of a file, `(row, column)`, rescaled as its header says.

    Args:
        path: a file with one frame of grey values.

    Raises:
        InputError: no such file, not DICOM, truncated, damaged, compressed in a way that cannot be undone, or of
            another kind.
    """
    _require_dicom(path)
    dataset = _guarded(path, "an intact file", lambda: dcmread(path, specific_tags=list(_PIXELS)))
    if "PixelData" not in dataset:
        raise InputError(path, READ, "an image", "none, or a file that was cut off")

    syntax = UID(dataset.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in _DECODERS and not (syntax.is_transfer_syntax and not syntax.is_encapsulated):
        known = ", ".join(each.name for each in _DECODERS)
        raise InputError(path, READ, f"pixels that are not compressed, or as {known}", _kind(syntax))

    def read() -> npt.NDArray[np.float32]:
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        dataset.pixel_array_options(decoding_plugin=_DECODERS.get(syntax, ""))
        stored = dataset.pixel_array.astype(np.float64)
        scaled = stored * float(1 if slope is None else slope) + float(0 if intercept is None else intercept)
        return scaled.astype(np.float32)

    with np.errstate(over="ignore"):
        image = _guarded(path, f"intact pixels in {syntax.name}", read)
    if image.ndim != 2:
        raise InputError(path, READ, "one frame (row, column) of grey values", f"shape {image.shape}")
    if not np.isfinite(image).all():
        raise InputError(path, READ, "finite values", "a rescale slope or intercept beyond float32")
    return image


@contextmanager
def unheard() -> Iterator[None]:
    """Silence the libraries that read and write DICOM: their warnings quote what stands in a header.

    It takes as long as reading a header, so whoever reads many enters it once.
    """
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _require_dicom(path: Path) -> None:
    require_file(path, READ)
    if not is_dicom(path):
        raise InputError(path, READ, "a DICOM file", "a file of another kind")


def _guarded(path: Path, expected: str, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except Exception as error:  # a damaged file makes pydicom raise anything
        # The kind alone: the text may quote what stands in the header.
        raise InputError(path, READ, expected, type(error).__name__) from error


def _kind(syntax: UID) -> str:
    return syntax.name if syntax.name != syntax else "another transfer syntax"


def _plain(value: Any) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, MultiValue):
        return [_plain(each) for each in value]
    if isinstance(value, float | int):
        return float(value) if isinstance(value, float) else int(value)
    return str(value)
