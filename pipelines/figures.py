"""Pictures of one case: contours on the image, and the probability maps over the recurrences."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from kseg.pipelines.palette import class_colours

# An outline lies a quarter of a pixel inside its class, so that those of neighbours stand side by side.
_INSIDE = 0.75
_PANEL_INCHES = 3.4
_MAP_INCHES = 1.9
_DOTS_PER_INCH = 120
_WINDOW_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class AxialSlice:
    """What is known of one slice, as displayed: rows from anterior, columns from the patient's right.

    Args:
        segmentation: label values (row, column).
        pixel_mm: height and width of a pixel.
        image: grey values (row, column), or None.
        reference: label values (row, column), or None.
    """

    segmentation: NDArray[np.integer]
    pixel_mm: tuple[float, float]
    image: NDArray[np.floating] | None = None
    reference: NDArray[np.integer] | None = None


def contour_figure(view: AxialSlice, classes: Mapping[int, str]) -> bytes:
    """Draw the outlines of the segmentation, and of the reference beside it, on the image.

    Without an image the structures are filled on black.

    Args:
        view: the slice.
        classes: label values and their names, drawn in this order.

    Returns:
        A PNG file.
    """
    labels = {"Segmentation": view.segmentation}
    if view.reference is not None:
        labels["Reference"] = view.reference
    titles = ([] if view.image is None else ["Image"]) + list(labels)
    figure = Figure(
        figsize=_size(len(titles), 1, _PANEL_INCHES, view), dpi=_DOTS_PER_INCH, layout="compressed"
    )
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        _show_grey(axes, view.image if view.image is not None else np.zeros(view.segmentation.shape), view)
        axes.set_title(title, fontsize=10)
        if title in labels:
            _show_labels(axes, labels[title], view, classes)
    handles = [
        Line2D([], [], color=colour, linewidth=3, label=classes[class_id])
        for class_id, colour in class_colours(classes).items()
    ]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=10)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return _png(figure)


def recurrence_figure(
    probabilities: NDArray[np.floating], view: AxialSlice, classes: Mapping[int, str]
) -> bytes:
    """Draw the probability of each class in the first pass and after each recurrence, and the reference last.

    Args:
        probabilities: (row, column, class, pass) in [0, 1]; the class index is the label value.
        view: the same slice; its reference, where there is one, is the last column.
        classes: label values and their names, one row each.

    Returns:
        A PNG file.

    Reference:
        Huang et al. 2020, SERANet, Fig. 5.
    """
    titles = ["First pass", *(f"Recurrence {number}" for number in range(1, probabilities.shape[3]))]
    if view.reference is not None:
        titles.append("Reference")
    figure = Figure(
        figsize=_size(len(titles), len(classes), _MAP_INCHES, view), dpi=_DOTS_PER_INCH, layout="compressed"
    )
    grid = figure.subplots(len(classes), len(titles), squeeze=False)
    for row, (class_id, name) in zip(grid, classes.items(), strict=True):
        maps = [probabilities[:, :, class_id, number] for number in range(probabilities.shape[3])]
        if view.reference is not None:
            maps.append((view.reference == class_id).astype(np.float32))
        for axes, values in zip(row, maps, strict=True):
            mappable = axes.imshow(values, cmap="magma", vmin=0, vmax=1, extent=_extent(view))
            _mark_sides(axes)
        row[0].set_ylabel(name, fontsize=10, parse_math=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    figure.colorbar(mappable, ax=grid, label="probability", shrink=0.5, aspect=25)
    return _png(figure)


def _show_grey(axes: Axes, image: NDArray[np.floating], view: AxialSlice) -> None:
    low, high = np.percentile(image, _WINDOW_PERCENTILES)
    axes.imshow(
        image,
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-12),
        extent=_extent(view),
        interpolation="nearest",
    )
    _mark_sides(axes)


def _show_labels(
    axes: Axes, labels: NDArray[np.integer], view: AxialSlice, classes: Mapping[int, str]
) -> None:
    height_mm, width_mm = view.pixel_mm
    rows_mm = (np.arange(labels.shape[0]) + 0.5) * height_mm
    columns_mm = (np.arange(labels.shape[1]) + 0.5) * width_mm
    for class_id, colour in class_colours(classes).items():
        mask = (labels == class_id).astype(np.float32)
        if not mask.any():
            continue
        if view.image is None:
            axes.contourf(columns_mm, rows_mm, mask, levels=[0.5, 1.5], colors=[colour])
        else:
            axes.contour(columns_mm, rows_mm, mask, levels=[_INSIDE], colors=[colour], linewidths=0.8)


def _extent(view: AxialSlice) -> tuple[float, float, float, float]:
    rows, columns = view.segmentation.shape
    return 0.0, columns * view.pixel_mm[1], rows * view.pixel_mm[0], 0.0


def _mark_sides(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for x, side, align in ((0.02, "R", "left"), (0.98, "L", "right")):
        box = {"facecolor": "black", "linewidth": 0, "pad": 1.5}
        axes.text(
            x, 0.98, side, transform=axes.transAxes, color="white", fontsize=9, ha=align, va="top", bbox=box
        )


def _size(n_columns: int, n_rows: int, panel: float, view: AxialSlice) -> tuple[float, float]:
    _, right, bottom, _ = _extent(view)
    return n_columns * panel, n_rows * panel * bottom / right + 0.6


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.02, metadata={"Software": None})
    return buffer.getvalue()
