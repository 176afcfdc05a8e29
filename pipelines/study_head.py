"""One head at the points of a study: measured, or found where an earlier run has left it."""

import csv
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from kseg.pipelines.evaluate import BRAIN_CLASSES, compare_labels
from kseg.pipelines.metrics import voxel_spacing_mm
from kseg.pipelines.metrics_table import MetricsRow, read_metrics, write_metrics
from kseg.pipelines.progress import progress
from kseg.pipelines.segmentation import SegmentedVolume
from kseg.pipelines.simulate import SimulationSettings, simulate_scan, to_nifti_axes
from kseg.pipelines.study_table import StudyPoint
from kseg.transforms.phantom import Phantom

logger = logging.getLogger(__name__)

Scans = Mapping[StudyPoint, SimulationSettings]
Segmenter = Callable[[Tensor, Tensor], SegmentedVolume]
"""Segments k-space `(slice, coil, y, x)` with its mask, as `segment_volume` does with a network."""


@dataclass(frozen=True, eq=False)
class PointFiles:
    """The table of a head at each point, under a name that changes with all that its numbers depend on.

    Args:
        folder: top of the tree of tables.
        case: relative folder and name of the head.
        scans: how the head is scanned at each point.
        content: of the head's file, of the weights, and whatever else the numbers depend on.
    """

    folder: Path
    case: str
    scans: Scans
    content: Sequence[bytes]

    def path(self, point: StudyPoint) -> Path:
        """Name the table of a point."""
        digest = hashlib.sha256()
        for part in (*self.content, repr(self.scans[point]).encode()):
            digest.update(hashlib.sha256(part).digest())
        place = self.folder / f"noise_{point.noise:g}" / f"fraction_{point.fraction:g}"
        return place / f"{self.case}_{digest.hexdigest()[:12]}.csv"

    def read(self, point: StudyPoint) -> list[MetricsRow] | None:
        """Read the table of a point, or return None where there is none; a damaged one is named."""
        path = self.path(point)
        if not path.exists():
            return None
        try:
            rows = read_metrics(path)
        except (ValueError, OSError, csv.Error):
            rows = []
        if [(row.class_id, row.case) for row in rows] != [
            (each, self.case) for each in sorted(BRAIN_CLASSES)
        ]:
            logger.warning("%s: read metrics: expected all classes, received a damaged table", path)
            return None
        return rows

    def write(self, point: StudyPoint, rows: Sequence[MetricsRow]) -> None:
        """Write the table of a point, atomically; its folder is made if need be."""
        path = self.path(point)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_metrics(path, rows)


def measure_head(
    phantom: Phantom, scans: Scans, segmenter: Segmenter, files: PointFiles
) -> dict[str, list[StudyPoint]]:
    """Scan a head at each point, segment the scans and write their metrics; a point that fails does so alone.

    Args:
        phantom: the head.
        scans: the points to measure.
        segmenter: segments each scan.
        files: where the metrics go.

    Returns:
        The points that failed, by reason.
    """
    failures: dict[str, list[StudyPoint]] = {}
    points = {str(point): point for point in scans}
    for name in progress(list(points), phantom.subject, unit="scan"):
        point = points[name]
        try:
            files.write(point, measure_scan(phantom, scans[point], segmenter))
        except Exception as error:  # whatever it is, the other points go on
            reason = " ".join(str(error).split())
            if not isinstance(error, ValueError):
                reason = f"{type(error).__name__}: {reason}"
            failures.setdefault(reason, []).append(point)
            logger.debug("%s", reason, exc_info=True)
    return failures


def measure_scan(phantom: Phantom, scan: SimulationSettings, segmenter: Segmenter) -> list[MetricsRow]:
    """Scan a head, segment the scan, and compare with the oracle: one row for each class.

    The numbers are those of `simulate`, `segment` and `evaluate`, without the files between them.

    Args:
        phantom: the head.
        scan: how it is scanned.
        segmenter: segments the scan.
    """
    volume = simulate_scan(phantom, scan).volume
    probabilities = segmenter(volume.kspace, volume.mask).probabilities[-1]
    predicted, reference = to_nifti_axes(probabilities.argmax(1)), to_nifti_axes(phantom.labels)
    return compare_labels(phantom.subject, predicted, reference, voxel_spacing_mm(volume.affine))
