"""The HTML of a report: numbers formatted, tables laid out, pictures embedded."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from kseg import __version__
from kseg.pipelines.case_pictures import CasePictures
from kseg.pipelines.evaluate import Failure
from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.pipelines.metrics_summary import ClassSummary, average
from kseg.pipelines.metrics_table import MetricsRow
from kseg.pipelines.palette import class_colours

NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Drawing:
    """One case as the page draws it.

    Args:
        case: relative folder and NAME.
        pictures: of the case; None where they could not be drawn.
        problem: why they could not be drawn; else None.
    """

    case: str
    pictures: CasePictures | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Page:
    """Everything the page says.

    Args:
        folder: name of the folder of segmentations.
        classes: each class over all cases.
        table: the metrics of each case, one per class, in the order of the table.
        drawings: the cases that are drawn, worst first.
        plots: SVG of the box plots.
        failures: cases that could not be evaluated.
        notes: what else was left out, one line each.
    """

    folder: str
    classes: Sequence[ClassSummary]
    table: Mapping[str, Sequence[MetricsRow]]
    drawings: Sequence[Drawing]
    plots: bytes
    failures: Sequence[Failure]
    notes: Sequence[str]


def render_page(page: Page) -> str:
    """Render one self-contained page: no script, nothing to fetch.

    Args:
        page: everything it says; names are escaped here.
    """
    environment = Environment(
        loader=PackageLoader("kseg.pipelines"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"fixed": fixed, "volume": volume, "cell": cell, "lesions_cell": lesions_cell}
    environment.filters |= {**filters, "data_uri": data_uri}
    return environment.get_template("report.html").render(
        page=page,
        metrics={case: {row.class_id: row.metrics for row in rows} for case, rows in page.table.items()},
        lesions={case: {row.class_id: row.lesions for row in rows} for case, rows in page.table.items()},
        average=average(page.classes),
        colours=class_colours(item.class_id for item in page.classes),
        version=__version__,
    )


def fixed(value: float | None, digits: int) -> str:
    """Format a number for a table, or n/a for nothing.

    Example:
        >>> fixed(0.91234, 3), fixed(None, 3)
        ('0.912', 'n/a')
    """
    return NOT_APPLICABLE if value is None else f"{value:.{digits}f}"


def volume(millilitres: float) -> str:
    """Format a volume with as many digits as a lesion or a brain needs.

    Example:
        >>> volume(651.62), volume(0.0234), volume(0.0)
        ('652', '0.0234', '0')
    """
    return f"{millilitres:.0f}" if millilitres >= 100 else f"{millilitres:.3g}"


def cell(metrics: StructureMetrics | None, name: str) -> str:
    """Format one metric of one structure; a distance that does not exist says why.

    Args:
        metrics: of the structure; None where the table has no row.
        name: `dice`, `hausdorff_mm` or `hausdorff95_mm`.

    Example:
        >>> missed = StructureMetrics(0.0, float("inf"), float("inf"), predicted_ml=0.0, reference_ml=2.0)
        >>> cell(missed, "dice"), cell(missed, "hausdorff_mm")
        ('0.000', 'missed')
    """
    if metrics is None:
        return NOT_APPLICABLE
    if name == "dice":
        return fixed(metrics.dice, 3)
    if metrics.missed:
        return "missed"
    return "spurious" if metrics.spurious else fixed(getattr(metrics, name), 1)


def lesions_cell(counts: LesionCounts | None) -> str:
    """Say how many lesions of a case were found, and how many of those found are none.

    Args:
        counts: of a class of lesions; None where the table has none.

    Example:
        >>> lesions_cell(LesionCounts(9, 7, 2)), lesions_cell(LesionCounts(0, 0, 0))
        ('7 of 9, 2 false', 'none to find, 0 false')
    """
    if counts is None:
        return NOT_APPLICABLE
    found = f"{counts.detected} of {counts.reference}" if counts.reference else "none to find"
    return f"{found}, {counts.false_positives} false"


def data_uri(content: bytes, media_type: str) -> str:
    """Embed a file in the page.

    Example:
        >>> data_uri(b"GIF89a", "image/gif")
        'data:image/gif;base64,R0lGODlh'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
