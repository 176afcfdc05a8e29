"""How the metrics spread over the cases: one box per class, one point per case."""

from collections.abc import Callable, Sequence
from io import BytesIO
from math import isfinite

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_summary import summarise
from kseg.pipelines.metrics_table import MetricsRow
from kseg.pipelines.palette import class_colours

_PANELS: tuple[tuple[str, Callable[[StructureMetrics], float | None]], ...] = (
    ("Dice", lambda metrics: metrics.dice),
    ("Hausdorff distance, 95th percentile (mm)", lambda metrics: metrics.hausdorff95_mm),
    ("Hausdorff distance, maximum (mm)", lambda metrics: metrics.hausdorff_mm),
)
_HALF_SPREAD = 0.18
_MOST_LEVEL_NAMES = 4
_INK = "#1c2330"


def box_plots(rows: Sequence[MetricsRow]) -> bytes:
    """Draw Dice and both Hausdorff distances: median, quartiles and every case as a point.

    Whiskers reach the last case within 1.5 interquartile ranges. Infinite distances cannot be drawn: their
    number stands under the class.

    Args:
        rows: one per case and class.

    Returns:
        An SVG file, the same bytes for the same rows.
    """
    classes = {row.class_id: row.class_name for row in rows}
    # Text stays text, and without the salt the ids inside would differ from run to run.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "kseg", "font.family": "sans-serif"}):
        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        for axes, (title, value) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
            for place, class_id in enumerate(sorted(classes)):
                metrics = [row.metrics for row in rows if row.class_id == class_id]
                numbers = [
                    number for number in map(value, metrics) if number is not None and isfinite(number)
                ]
                _draw_class(axes, place, numbers, class_colours(classes)[class_id])
            _frame(axes, _names(rows, infinite=title != "Dice"))
            low, high = axes.get_ylim()
            axes.set_ylim((min(low, 0.9), 1.0) if title == "Dice" else (0.0, max(high, 1.0)))
            axes.set_title(title, fontsize=10, loc="left")
        buffer = BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _draw_class(axes: Axes, place: int, numbers: list[float], colour: str) -> None:
    if not numbers:
        return
    line = {"color": _INK, "linewidth": 0.9}
    axes.boxplot(
        numbers,
        positions=[place],
        widths=0.5,
        showfliers=False,
        medianprops=line | {"linewidth": 1.8},
        boxprops=line,
        whiskerprops=line,
        capprops=line,
    )
    # A fixed pattern keeps the points apart: a report has no chance in it.
    spread = place + _HALF_SPREAD * np.sin(2.4 * np.arange(len(numbers)))
    points = axes.scatter(
        spread, sorted(numbers), s=18, color=colour, edgecolors=_INK, linewidths=0.4, zorder=3
    )
    points.set_clip_on(False)


def _frame(axes: Axes, names: list[str]) -> None:
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks(range(len(names)), names, parse_math=False)
    if len(names) > _MOST_LEVEL_NAMES:
        axes.tick_params(axis="x", labelrotation=90)
    axes.spines[["top", "right"]].set_visible(False)


def _names(rows: Sequence[MetricsRow], infinite: bool) -> list[str]:
    names = []
    for item in summarise(rows):
        counts = {"missed": item.n_missed, "spurious": item.n_spurious} if infinite else {}
        names.append("\n".join([item.class_name, *(f"{n} {state}" for state, n in counts.items() if n)]))
    return names
