"""The picture of a study: Dice and surface distance against the measured share of k-space."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import log, nan

import matplotlib
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from kseg.pipelines.study_table import PointResult, Spread, cheapest, percent

_PANELS = {"dice": "Dice", "hausdorff95_mm": "Hausdorff distance, 95th percentile (mm)"}
_MARKERS = "osD^vP"
_DOTS_PER_INCH = 150
_MOST_COLUMNS = 4
_DISTANCES_MM = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200)
_INK = "#1c2330"
_SOFT = "#6b7280"
# Labels of the logarithmic axis that lie nearer than this run into each other.
_NEAREST_LABELS = 0.16


@dataclass(frozen=True)
class _Curve:
    """The points of one noise level, by share of k-space, and how they are drawn."""

    noise: float
    results: list[PointResult]
    cheapest: PointResult | None
    colour: tuple[float, float, float, float]
    marker: str

    @property
    def label(self) -> str:
        found = self.cheapest
        said = "target not reached" if found is None else f"{percent(found.point.fraction)} is enough"
        return f"{percent(self.noise)} noise: {said}"


def study_figure(results: Sequence[PointResult], target: float, subject: str) -> bytes:
    """Draw one curve for each noise level, with a band from the lowest to the highest head.

    A ring marks the cheapest scan that reaches the target. A point that lacks heads is a gap with a cross at
    the lower edge; one at which a structure has no distance is open.

    Args:
        results: one for each point of the grid.
        target: mean Dice to reach.
        subject: what was studied, for the title.

    Returns:
        A PNG file, the same bytes for the same results.
    """
    curves = _curves(results, target)
    fractions = sorted({result.point.fraction for result in results})
    with rc_context({"font.family": "sans-serif", "text.color": _INK, "axes.edgecolor": _SOFT}):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
        figure = Figure(figsize=(11.0, 5.2), dpi=_DOTS_PER_INCH, layout=layout)
        figure.suptitle(_title(results, subject), fontsize=11, x=0.012, ha="left", parse_math=False)
        for axes, (metric, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
            for curve in curves:
                _draw(axes, curve, metric)
            _frame(axes, fractions, [curve.cheapest for curve in curves])
            axes.set_title(title, fontsize=11, loc="left")
            if metric == "dice":
                _draw_target(axes, curves, target)
            else:
                _scale_distance(axes)
        _legend(figure, curves, _keys(results, curves, target))
        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _curves(results: Sequence[PointResult], target: float) -> list[_Curve]:
    # Darker for less noise; the steps stay apart in grey and with every common colour vision.
    colours, found = matplotlib.colormaps["plasma"], cheapest(results, target)
    return [
        _Curve(
            noise,
            sorted(
                (each for each in results if each.point.noise == noise), key=lambda each: each.point.fraction
            ),
            found[noise],
            colours(0.05 + 0.7 * place / max(1, len(found) - 1)),
            _MARKERS[place % len(_MARKERS)],
        )
        for place, noise in enumerate(found)
    ]


def _title(results: Sequence[PointResult], subject: str) -> str:
    names = list(dict.fromkeys(row.class_name for result in results for row in result.rows))
    n_heads = max(result.n_heads for result in results)
    heads = f"{n_heads} heads, bands from the lowest to the highest" if n_heads > 1 else "one head"
    return f"{subject}: mean of {', '.join(names) or 'nothing'}; {heads}"


def _draw(axes: Axes, curve: _Curve, metric: str) -> None:
    spreads = [result.spread(metric) or Spread(nan, nan, nan) for result in curve.results]
    fractions, means = [result.point.fraction for result in curve.results], [each.mean for each in spreads]
    low, high = [each.lowest for each in spreads], [each.highest for each in spreads]
    axes.fill_between(fractions, low, high, color=curve.colour, alpha=0.16, linewidth=0)
    axes.plot(fractions, means, color=curve.colour, linewidth=1.8)
    for result, fraction, value in zip(curve.results, fractions, means, strict=True):
        whole = metric == "dice" or not result.n_unmeasured
        axes.plot(
            fraction,
            value,
            color=curve.colour,
            marker=curve.marker,
            markersize=5.5,
            markerfacecolor=curve.colour if whole else "white",
            clip_on=False,
            zorder=3,
        )
        if result.missing:
            at_edge = axes.get_xaxis_transform()
            axes.plot(fraction, 0.03, color=curve.colour, marker="x", markersize=7, transform=at_edge)
        if result is curve.cheapest:
            axes.scatter(
                fraction, value, s=190, facecolors="none", edgecolors=[curve.colour], linewidths=2, zorder=4
            )


def _frame(axes: Axes, fractions: Sequence[float], marked: Sequence[PointResult | None]) -> None:
    axes.set_xscale("log")
    first = [result.point.fraction for result in marked if result is not None]
    labelled = _apart([*sorted(first), fractions[-1], fractions[0], *fractions])
    axes.set_xticks(labelled, [f"{100 * fraction:g}" for fraction in labelled])
    axes.set_xticks([each for each in fractions if each not in labelled], minor=True)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("measured share of k-space (%)", color=_INK)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)


def _apart(fractions: Sequence[float]) -> list[float]:
    """The fractions whose labels do not touch one that comes before."""
    kept: list[float] = []
    for fraction in fractions:
        if all(abs(log(fraction / other)) >= _NEAREST_LABELS for other in kept):
            kept.append(fraction)
    return sorted(kept)


def _draw_target(axes: Axes, curves: Sequence[_Curve], target: float) -> None:
    bottom = max(0.0, min(axes.get_ylim()[0], target - 0.05))
    axes.set_ylim(bottom, 1.0)
    axes.axhline(target, color=_SOFT, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
    beside = axes.get_yaxis_transform()
    axes.text(1.01, target, f"target\n{target:g}", transform=beside, color=_SOFT, fontsize=9, va="center")
    for curve in curves:
        dice = None if curve.cheapest is None else curve.cheapest.spread("dice")
        if curve.cheapest is not None and dice is not None:
            fraction = curve.cheapest.point.fraction
            axes.vlines(fraction, bottom, dice.mean, color=curve.colour, linewidth=1.2, linestyle=":")


def _scale_distance(axes: Axes) -> None:
    # Too few lines give tens of millimetres; what tells good scans apart is between one and five.
    highest = max(1.3 * axes.dataLim.y1, _DISTANCES_MM[2])
    axes.set_yscale("symlog", linthresh=1.0, linscale=0.3)
    axes.set_ylim(0.0, highest)
    ticks = [tick for tick in _DISTANCES_MM if tick <= highest]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())


def _keys(results: Sequence[PointResult], curves: Sequence[_Curve], target: float) -> str:
    keys = []
    if any(curve.cheapest for curve in curves):
        keys.append(f"ring: cheapest scan with a mean Dice of at least {target:g}")
    if any(result.n_unmeasured for result in results):
        keys.append("open: a structure is missing, its distance is left out")
    if any(result.missing for result in results):
        keys.append("cross: failed")
    return "; ".join(keys)


def _legend(figure: Figure, curves: Sequence[_Curve], keys: str) -> None:
    handles = [
        Line2D([], [], color=curve.colour, marker=curve.marker, linewidth=1.8, label=curve.label)
        for curve in curves
    ]
    columns = min(len(curves), _MOST_COLUMNS)
    legend = figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=10
    )
    legend.set_title(keys, prop=FontProperties(size=10))
