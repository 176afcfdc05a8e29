"""The summary of an evaluation as a plain text table."""

from collections.abc import Callable, Sequence

from kseg.pipelines.metrics_table import ClassSummary, average

_HEADER = ("class", "Dice", "pooled", "HD mm", "HD95 mm", "cases", "missed")


def summary_text(classes: Sequence[ClassSummary]) -> str:
    """Lay out one line per class and one for the average.

    Dice is the mean over cases, pooled Dice that of all voxels together; distances are means over the cases
    that have the structure in both; a dash stands where nothing could be measured.

    Args:
        classes: as `summarise` returns them.

    Example:
        >>> csf = ClassSummary(1, "CSF", 0.9, 0.91, 4.0, 1.0, 3, 3, 0, 0, 0)
        >>> print(summary_text([csf]))
        class     Dice  pooled  HD mm  HD95 mm  cases  missed
        CSF      0.900   0.910   4.00     1.00      3       0
        average  0.900   0.910   4.00     1.00
    """
    rows = [_HEADER]
    for item in classes:
        measured = _numbers(item.sample_dice, item.voxel_dice, item.hausdorff_mm, item.hausdorff95_mm)
        rows.append((item.class_name, *measured, str(item.n_scored), str(item.n_missed)))
    means = average(classes)
    names = ("sample_dice", "voxel_dice", "hausdorff_mm", "hausdorff95_mm")
    rows.append(("average", *_numbers(*(means[name] for name in names)), "", ""))
    names_column, *number_columns = zip(*rows, strict=True)
    columns = [_aligned(names_column, str.ljust), *(_aligned(each, str.rjust) for each in number_columns)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _aligned(column: Sequence[str], align: Callable[[str, int], str]) -> list[str]:
    return [align(cell, max(map(len, column))) for cell in column]


def _numbers(dice: float | None, pooled: float | None, *distances: float | None) -> tuple[str, str, str, str]:
    shares = ["-" if value is None else f"{value:.3f}" for value in (dice, pooled)]
    lengths = ["-" if value is None else f"{value:.2f}" for value in distances]
    return (shares[0], shares[1], lengths[0], lengths[1])
