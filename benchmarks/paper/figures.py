"""Figure 5, the probability maps over the recurrences, and figure 6, Dice against the number of blocks."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kseg.pipelines.case_pictures import CaseSources, draw_case
from kseg.pipelines.evaluate import BRAIN_CLASSES
from kseg.pipelines.find_segmentations import find_segmentations
from kseg.pipelines.palette import class_colours
from kseg.transforms.errors import InputError
from paper.budget import Budget
from paper.evaluation import Outcome
from paper.grid import TYPES, Cell, Grid, figure6_cells
from paper.rows import TISSUES, plain, score, write_csv

_STAGE = "draw figure 5"
_LINES = {"cascade": "-", "autoencoder": "--"}
_DOTS_PER_INCH = 120
_PAD = 0.12
_LEAST_SPAN = 0.02


def figure5(results: Path, scans: Path) -> bytes:
    """Draw the class probabilities of one test slice in every pass of a cell's network.

    Args:
        results: folder of a cell that was evaluated with its recurrences.
        scans: folder of the scans of the test heads.

    Returns:
        A PNG file: the first test head, the slice with most brain.

    Raises:
        InputError: no segmentation, no maps beside it, or files that are damaged.
    """
    folder = results / "segmented"
    found = find_segmentations(folder)
    if not found:
        raise InputError(folder, _STAGE, "segmentations", "none")
    case = next(iter(found))
    pictures = draw_case(
        case, CaseSources(folder, found, find_segmentations(scans / "labels")), BRAIN_CLASSES
    )
    if pictures.recurrences is None:
        raise InputError(folder, _STAGE, f"probability maps {case}_recurrences.nii.gz", "none")
    return pictures.recurrences


def figure6(grid: Grid, budget: Budget, outcomes: Mapping[Cell, Outcome]) -> bytes:
    """Draw Dice against the number of reconstruction blocks: one panel per tissue, one line per method and type.

    A line needs two points, if the budget has as many; a cell that is missing from it leaves a gap. The figure
    says how many points are missing.

    Args:
        grid: methods.
        budget: blocks and their numbers.
        outcomes: what became of the cells.

    Returns:
        A PNG file.

    Raises:
        ValueError: there is no line to draw.
    """
    drawn = [method for method in grid.methods.values() if method.figure6]
    planned = {
        (method.name, block): cells
        for method in drawn
        for block, cells in figure6_cells(method, budget).items()
    }
    lines = {
        key: cells
        for key, cells in planned.items()
        if sum(not outcomes[cell].missing for cell in cells) >= min(2, len(cells))
    }
    if not lines:
        raise ValueError("figure 6: no method has been run with several numbers of blocks")
    colours = dict(
        zip((method.name for method in drawn), class_colours(range(len(drawn))).values(), strict=True)
    )
    figure = Figure(figsize=(10.5, 3.8), dpi=_DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(1, len(TISSUES))
    for (name, block), cells in lines.items():
        for axes, tissue in zip(panels, TISSUES, strict=True):
            values = [score(outcomes[cell].classes, tissue, "sample_dice") for cell in cells]
            axes.plot(
                [cell.n_blocks for cell in cells],
                [float("nan") if value is None else value for value in values],
                linestyle=_LINES.get(block, ":"),
                color=colours[name],
                marker="o",
                markersize=4,
                label=f"{grid.methods[name].title} ({TYPES[block]})",
            )
    for axes, tissue in zip(panels, TISSUES, strict=True):
        _frame(axes, tissue, budget.figure6_blocks)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(drawn), frameon=False, fontsize=9)
    missing = sum(bool(outcomes[cell].missing) for cells in planned.values() for cell in cells)
    if missing:
        n_points = sum(map(len, planned.values()))
        figure.suptitle(f"{missing} of {n_points} points missing", fontsize=9, color="#d55e00")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write_figure6_csv(
    path: Path, grid: Grid, budget: Budget, outcomes: Mapping[Cell, Outcome], runs: Path
) -> None:
    """Write the points of figure 6.

    Args:
        path: the file.
        grid: methods.
        budget: blocks and their numbers.
        outcomes: what became of the cells.
        runs: folder of all runs.
    """
    lines: list[list[object]] = []
    for method in grid.methods.values():
        for block, cells in figure6_cells(method, budget).items():
            for cell in cells:
                outcome = outcomes[cell]
                dice = [score(outcome.classes, tissue, "sample_dice") for tissue in TISSUES]
                lines.append([method.title, TYPES[block], cell.n_blocks, *dice, plain(outcome.missing, runs)])
    write_csv(path, ["method", "type", "blocks", *TISSUES, "missing"], lines)


def _frame(axes: Axes, tissue: str, numbers: Sequence[int]) -> None:
    axes.set_title(tissue, fontsize=10, loc="left")
    axes.set_xlabel("reconstruction blocks")
    axes.set_ylabel("Dice")
    axes.set_xticks(list(numbers))
    axes.set_xlim(min(numbers) - 0.3, max(numbers) + 0.3)
    low, high = axes.dataLim.intervaly
    if high >= low:
        # Differences of a few thousandths must not look like much.
        span = max(high - low, _LEAST_SPAN)
        middle = (low + high) / 2
        axes.set_ylim(middle - (0.5 + _PAD) * span, middle + (0.5 + _PAD) * span)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
