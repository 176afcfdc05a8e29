"""Find the DICOM series in a folder."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

from kseg.pipelines.cases import files_by_case
from kseg.transforms.dicom_file import is_dicom, read_elements, unheard
from kseg.transforms.dicom_series import series_files
from kseg.transforms.errors import InputError

DICOM_SUFFIX = ".dcm"
_OTHER_SUFFIXES = (".nii", ".nii.gz", ".h5", ".mrd", ".json", ".jsonl", ".tsv", ".csv", ".txt")
_DIRECTORY = "DICOMDIR"
# Reports, presentation states, key images, registrations, plans, masks: what comes along with scans.
_NO_SCANS = {"SR", "PR", "KO", "DOC", "REG", "FID", "RWV", "PLAN", "SEG", "RTSTRUCT", "RTPLAN", "RTRECORD"}


def find_dicom_series(source: Path, leave_out: Path) -> dict[str, list[Path]]:
    """Find DICOM series, to any depth.

    DICOM is what ends in `.dcm` or, whatever its name, begins as DICOM does. A series lies in one folder. Objects
    that are no scans (reports, presentation states, masks, `DICOMDIR`) are left aside; images of another
    modality are not, so that reading them says what is wrong. A file that does not tell its series is a case by
    itself.

    Args:
        source: a file of a series, or a folder.
        leave_out: the output folder, which may lie inside.

    Returns:
        By case, the first file of the series by name; the others are found beside it. A case is the relative
        folder of the series, with the series number (`_series3`) where the folder holds several; a series in the
        source itself is named after the source. A single file gives its name to the case.

    Raises:
        InputError: a folder that cannot be read.
    """
    if source.is_file():
        return {_without_suffix(source.name): [source]} if looks_like_dicom(source) else {}
    series: defaultdict[Path, defaultdict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    cases: defaultdict[str, list[Path]] = defaultdict(list)
    with unheard():
        for (path,) in files_by_case(source, ("",), leave_out).values():
            if not looks_like_dicom(path):
                continue
            uid = _element(path, "SeriesInstanceUID")
            if uid is None:
                cases[_without_suffix(path.relative_to(source).as_posix())].append(path)
            else:
                series[path.parent][uid].append(path)
        for folder, by_uid in series.items():
            name = folder.relative_to(source).as_posix() if folder != source else source.resolve().name
            first = {uid: min(paths) for uid, paths in by_uid.items()}
            scans = {uid: path for uid, path in first.items() if _element(path, "Modality") not in _NO_SCANS}
            for uid, ending in _endings(scans).items():
                cases[(name or "series") + ending].append(scans[uid])
    return dict(sorted(cases.items()))


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is to be read as DICOM: by its suffix, `.dcm`, or by its first bytes.

    Args:
        path: a file.
    """
    name = path.name.lower()
    if name.endswith(_OTHER_SUFFIXES) or path.name == _DIRECTORY:
        return False
    return name.endswith(DICOM_SUFFIX) or is_dicom(path)


def input_files(path: Path) -> list[Path]:
    """All files of an input, by name: those of a DICOM series, or the one that it is.

    Args:
        path: a scan, see `find_scans`.

    Raises:
        InputError: a DICOM file that cannot be read.
    """
    return series_files(path) if looks_like_dicom(path) else [path]


def _without_suffix(name: str) -> str:
    return name[: -len(DICOM_SUFFIX)] if name.lower().endswith(DICOM_SUFFIX) else name


def _element(path: Path, keyword: str) -> str | None:
    try:
        value = read_elements(path, (keyword,))[keyword]
    except InputError:
        return None
    return None if value is None else str(value)


def _endings(first_files: dict[str, Path]) -> dict[str, str]:
    """What tells the series of a folder apart: nothing if there is one, else their numbers."""
    if len(first_files) == 1:
        return dict.fromkeys(first_files, "")
    numbers = {uid: _element(path, "SeriesNumber") or "" for uid, path in first_files.items()}
    counts = Counter(number for number in numbers.values() if number.isdecimal())
    return {
        uid: f"_series{number}" if counts[number] == 1 else f"_series-{_digest(uid)}"
        for uid, number in numbers.items()
    }


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]
