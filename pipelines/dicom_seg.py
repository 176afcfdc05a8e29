"""DICOM segmentations that refer, slice by slice, to the series they were made of.

A DICOM object is filed by its patient and study: those attributes that the standard requires are taken from the
series, and no others. Nothing else that kseg writes holds them.

Reference: DICOM PS3.3 A.51 Segmentation IOD; codes of PS3.16 CID 7150 and 7166.
"""

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.coding import Code

from kseg import __version__
from kseg.pipelines.palette import class_colours
from kseg.pipelines.provenance import Provenance
from kseg.transforms.atomic import atomic_path
from kseg.transforms.dicom_file import unheard
from kseg.transforms.errors import InputError

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_STAGE = "write DICOM segmentation"
_PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_DATES = (("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"))
_ELEMENTS = (
    *_PATIENT_AND_STUDY,
    *_REQUIRED,
    *(keyword for pair in _DATES for keyword in pair),
    "SOPClassUID",
    "Modality",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Rows",
    "Columns",
)
_SUBSTANCE, _TISSUE = Code("91720002", "SCT", "Body Substance"), Code("85756007", "SCT", "Tissue")
_CODES = {
    "CSF": (_SUBSTANCE, Code("65216001", "SCT", "Cerebrospinal Fluid")),
    "GM": (_TISSUE, Code("389081007", "SCT", "Gray Matter")),
    "WM": (_TISSUE, Code("389080008", "SCT", "White Matter")),
}
_NETWORK = Code("123110", "DCM", "Artificial Intelligence")
_SERIES_NUMBER = 9001
# A date is required; this one tells that the series has none.
_NO_DATE = ("19000101", "000000")


def write_dicom_seg(
    path: Path, labels: npt.NDArray[np.uint8], files: Sequence[Path], provenance: Provenance
) -> None:
    """Write a DICOM segmentation, byte for byte the same for the same input.

    Its identifiers follow from the series, the labels and the weights, its dates are those of the series.

    Args:
        path: ends in `.dcm`; replaced if it exists.
        labels: `(column, row, slice)` on the grid of the series, 0 where nothing is.
        files: of the series, one for each slice in the order of the labels.
        provenance: with what it was segmented; its labels name the segments.

    Raises:
        InputError: a file of the series that lacks an identifier, or a class without a code.
    """
    from highdicom.seg import Segmentation

    with unheard():
        sources = [_read_source(file) for file in files]
        digest = _digest(labels, sources, provenance)
        series = Segmentation(
            source_images=sources,
            pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)),
            segmentation_type="BINARY",
            segment_descriptions=_describe(path, provenance),
            series_instance_uid=_uid(digest, "series"),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=_uid(digest, "instance"),
            instance_number=1,
            manufacturer="kseg",
            manufacturer_model_name=provenance.bundle[:64],
            software_versions=__version__,
            device_serial_number=provenance.weights_sha256,
            content_label="SEGMENTATION",
            content_description="Automatic segmentation",
            series_description=f"Segmentation by kseg, {provenance.bundle}"[:64],
            omit_empty_frames=bool(labels.any()),
        )
        _make_repeatable(series, sources[0], _uid(digest, "dimensions"))
        with atomic_path(path) as temporary:
            series.save_as(temporary, enforce_file_format=True)


def _read_source(file: Path) -> FileDataset:
    dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(_ELEMENTS))
    missing = [keyword for keyword in _REQUIRED if not dataset.get(keyword)]
    if missing:
        raise InputError(file, _STAGE, " and ".join(missing), "none")
    for keyword in _PATIENT_AND_STUDY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    return dataset


def _describe(path: Path, provenance: Provenance) -> "list[SegmentDescription]":
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    names = provenance.labels[1:]
    unknown = [name for name in names if name not in _CODES]
    if unknown:
        raise InputError(path, _STAGE, f"classes with codes, {', '.join(_CODES)}", ", ".join(unknown))
    algorithm = AlgorithmIdentificationSequence(
        name=f"kseg {provenance.bundle}"[:64],
        family=_NETWORK,
        version=f"{__version__}, bundle {provenance.bundle_version}"[:64],
        parameters={"weights SHA-256": provenance.weights_sha256},
    )
    colours = class_colours(range(1, len(names) + 1))
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=_CODES[name][1].meaning,
            segmented_property_category=_CODES[name][0],
            segmented_property_type=_CODES[name][1],
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            display_color=CIELabColor.from_rgb(*bytes.fromhex(colours[number][1:])),
        )
        for number, name in enumerate(names, start=1)
    ]


def _make_repeatable(series: Dataset, source: FileDataset, dimensions: str) -> None:
    """Replace what highdicom draws at random or takes from the clock."""
    dates = [(source.get(date), source.get(time) or "000000") for date, time in _DATES if source.get(date)]
    series.ContentDate, series.ContentTime = dates[0] if dates else _NO_DATE
    del series.InstanceCreationDate, series.InstanceCreationTime
    for element in series.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = dimensions
        if element.keyword == "ContributionDateTime":
            element.value = f"{series.ContentDate}{series.ContentTime}"


def _digest(labels: npt.NDArray[np.uint8], sources: Sequence[FileDataset], provenance: Provenance) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(labels).tobytes())
    for source in sources:
        digest.update(source.SOPInstanceUID.encode())
    digest.update(f"{provenance} {__version__}".encode())
    return digest.hexdigest()


def _uid(digest: str, role: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'kseg {role} {digest}').int}"
