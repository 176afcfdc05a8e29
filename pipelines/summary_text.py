"""The summary of an evaluation as plain text tables."""

from collections.abc import Callable, Sequence

from kseg.pipelines.metrics_summary import ClassSummary, LesionSummary, average

_SHARES = ("sample_dice", "voxel_dice", "sample_iou", "voxel_iou")
_LENGTHS = ("hausdorff_mm", "hausdorff95_mm")
_HEADER = ("class", "Dice", "pooled", "IoU", "pooled", "HD mm", "HD95 mm", "cases", "missed")
_LESIONS = ("lesions", "TPR", "pooled", "FP per case", "found", "of", "cases", "without")


def summary_text(classes: Sequence[ClassSummary]) -> str:
    """Lay out one line per class and one for the average; lesions stand in a table of their own.

    Dice and IoU are means over cases, pooled is that of all voxels together; distances are means over the cases
    that have the structure in both; a dash stands where nothing could be measured. TPR is the mean share of a
    case's lesions that was found, pooled that of the lesions of all cases; a case without a lesion in the
    reference has no such share, and their number stands in the last column.

    Args:
        classes: as `summarise` returns them.

    Example:
        >>> csf = ClassSummary(1, "CSF", 0.9, 0.91, 0.82, 0.83, 4.0, 1.0, 3, 3, 0, 0, 0)
        >>> print(summary_text([csf]))
        class     Dice  pooled    IoU  pooled  HD mm  HD95 mm  cases  missed
        CSF      0.900   0.910  0.820   0.830   4.00     1.00      3       0
        average  0.900   0.910  0.820   0.830   4.00     1.00
    """
    rows: list[Sequence[str]] = [_HEADER]
    for item in classes:
        measured = _numbers({name: getattr(item, name) for name in (*_SHARES, *_LENGTHS)})
        rows.append((item.class_name, *measured, str(item.n_scored), str(item.n_missed)))
    rows.append(("average", *_numbers(average(classes)), "", ""))
    lesions = [_lesion_row(item.class_name, item.lesions) for item in classes if item.lesions is not None]
    return _table(rows) + (f"\n{_table([_LESIONS, *lesions])}" if lesions else "")


def _lesion_row(name: str, lesions: LesionSummary) -> Sequence[str]:
    return (
        name,
        _fixed(lesions.true_positive_rate, 3),
        _fixed(lesions.pooled_true_positive_rate, 3),
        _fixed(lesions.false_positives_per_case, 2),
        *map(str, (lesions.n_detected, lesions.n_reference, lesions.n_cases, lesions.n_without)),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    names, *numbers = zip(*rows, strict=True)
    columns = [_aligned(names, str.ljust), *(_aligned(each, str.rjust) for each in numbers)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _aligned(column: Sequence[str], align: Callable[[str, int], str]) -> list[str]:
    return [align(cell, max(map(len, column))) for cell in column]


def _numbers(values: dict[str, float | None]) -> list[str]:
    shares = [_fixed(values[name], 3) for name in _SHARES]
    return shares + [_fixed(values[name], 2) for name in _LENGTHS]


def _fixed(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
