"""The page and files that RSANet's experiment leaves: table 1, beside the paper's, and how it was made."""

from collections.abc import Mapping
from pathlib import Path

from paper.cells import write_cases_csv, write_cells_csv, write_records
from paper.evaluation import Outcome
from paper.grid import Cell, Grid
from paper.plan import seen_key
from paper.rows import Row, percent, score
from paper.rsanet_experiment import LESION, RsanetExperiment
from paper.tables import (
    HOW_JUDGED,
    Column,
    measured,
    missing_markdown,
    order_markdown,
    table_markdown,
    write_table_csv,
)
from paper.text import how_made, weights_taken, write_page

COLUMNS = [
    measured("sample avg Dice", "sample_dice", LESION, "sample_dice"),
    measured("voxel avg Dice", "voxel_dice", LESION, "voxel_dice"),
    measured("sample avg IoU", "sample_iou", LESION, "sample_iou"),
    measured("voxel avg IoU", "voxel_iou", LESION, "voxel_iou"),
    measured("lesion TPR", "lesion_tpr", LESION, "lesions.true_positive_rate"),
    measured("FP per case", "false_positives_per_case", LESION, "lesions.false_positives_per_case", 2),
]
"""Columns of the table; the metric of each is the same as in its evaluation."""

_DECIDES = 0.5
_METRICS = {
    "sample_dice": "sample_dice",
    "voxel_dice": "voxel_dice",
    "sample_iou": "sample_iou",
    "voxel_iou": "voxel_iou",
    "lesion_tpr": "lesions.true_positive_rate",
    "false_positives_per_case": "lesions.false_positives_per_case",
    "lesions": "lesions.n_reference",
    "cases_without_lesion": "lesions.n_without",
}
_HOW_TO_READ = (
    "Mean ± standard deviation over the seeds, where there are several. Sample average: mean over the cases; voxel "
    "average: all voxels of all cases pooled. Lesion TPR: mean share of a case's lesions that share a voxel with the "
    "prediction, over the cases that have a lesion; FP per case: predicted lesions that share none with the "
    f"reference; components below 3 mm3 are not counted (see `kseg.pipelines.metrics_lesions`). {HOW_JUDGED} The "
    "paper's patients are real and others, so that its numbers tell the order and not the height."
)


def rsanet_rows(grid: Grid, outcomes: Mapping[Cell, Outcome]) -> list[Row]:
    """Rows of the table, in the paper's order.

    Args:
        grid: methods.
        outcomes: what became of the cells.
    """
    return [
        Row(method, None, tuple(each for cell, each in outcomes.items() if cell.method == name))
        for name, method in grid.methods.items()
    ]


def write_rsanet_results(
    experiment: RsanetExperiment, outcomes: Mapping[Cell, Outcome], output: Path
) -> list[str]:
    """Write everything into a folder, each file in one step.

    Args:
        experiment: what was run.
        outcomes: what became of every cell.
        output: made if missing.

    Returns:
        What could not be drawn: nothing, there are no figures.
    """
    output.mkdir(parents=True, exist_ok=True)
    grid, runs = experiment.grid, experiment.runs
    rows = rsanet_rows(grid, outcomes)
    by_name: dict[str, Column] = {column.name: column for column in COLUMNS}
    judged = [
        f"## Order of the {title}\n\n{order_markdown(rows, grid.comparisons, by_name[name])}"
        for title, name in (("sample average Dice", "sample_dice"), ("voxel average Dice", "voxel_dice"))
    ]
    write_page(
        output / "rsanet.md",
        "# RSANet, table 1: lesions of simulated patients\n",
        _HOW_TO_READ + "\n",
        table_markdown(rows, COLUMNS, runs),
        *judged,
        f"## The paper's table\n\n{_printed(grid)}",
        f"## Missing\n\n{missing_markdown(rows, runs)}{_without(outcomes)}",
        f"## Cases that decide\n\n{_dominant(outcomes)}",
        how_made(_conditions(experiment), outcomes),
    )
    write_table_csv(output / "rsanet.csv", rows, COLUMNS, runs)
    write_cells_csv(output / "rsanet_cells.csv", list(outcomes.values()), runs, _tell)
    write_cases_csv(output / "rsanet_cases.csv", list(outcomes.values()))
    write_records(output / "rsanet_records.tar.gz", experiment, outcomes)
    return []


def _printed(grid: Grid) -> str:
    columns = [column for column in COLUMNS if all(column.name in row for row in grid.printed.values())]
    lines = [f"| method | {' | '.join(column.title for column in columns)} |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, numbers in grid.printed.items():
        cells = [f"{numbers[column.name]:.3f} %" for column in columns]
        lines.append(f"| {grid.methods[name].title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _without(outcomes: Mapping[Cell, Outcome]) -> str:
    counted = [each.lesions for outcome in outcomes.values() for each in outcome.classes if each.lesions]
    empty = {(lesions.n_without, lesions.n_cases) for lesions in counted if lesions.n_without}
    lines = [f"- {few} of {n} cases have no lesion to find: left out of the lesion TPR" for few, n in empty]
    return "\n".join(sorted(lines)) + "\n" if lines else ""


def _dominant(outcomes: Mapping[Cell, Outcome]) -> str:
    lines = []
    for cell, outcome in outcomes.items():
        marked = {row.case: row.metrics.predicted_ml for row in outcome.rows}
        case = max(marked, key=marked.__getitem__, default="")
        share = marked[case] / sum(marked.values()) if case and any(marked.values()) else 0.0
        if share > _DECIDES:
            lines.append(
                f"- `{cell.name}`: {percent(round(share, 2))} of the voxels that it marks lie in {case}"
            )
    told = "\n".join(lines) or "No network marks more than half of its voxels in one case."
    return f"The voxel average follows the case in which most voxels are marked.\n\n{told}\n"


def _conditions(experiment: RsanetExperiment) -> list[str]:
    budget, heads = experiment.budget, experiment.heads
    seen = budget.crops_seen(len(heads.train))
    sizes = ", ".join(f"{name} {value}" for name, value in budget.sizes.items())
    size = " x ".join(map(str, budget.crop))
    halved = (
        "" if budget.halve_after >= 1 else f" halved after each {percent(budget.halve_after)} of the epochs"
    )
    return [
        f"budget `{budget.name}`: {budget.epochs} epochs of {len(heads.train)} heads x {budget.crops} crops = "
        f"{seen} crops of {size} voxels (slice, y, x) seen by every method, {seen / budget.batch_size:g} batches "
        f"of {budget.batch_size}; every epoch makes a new patient of each head, and the same seed gives the same "
        "patients and crops in the same order",
        f"Adam, learning rate {budget.learning_rate:g}{halved}; {budget.precision}; {sizes}",
        "Dice over the batch + cross entropy in the place of the paper's weighted cross entropy, gradients "
        "clipped at 1; RSA compares slices by the cosine times a learned gain; one split of the heads, where the "
        "paper has five",
        weights_taken(budget.chosen),
        f"{budget.patients} simulated patients of each of {len(heads.test)} test heads, which are no deformations of "
        "the training heads; the same for every method, in windows of the size of the crops",
    ]


def _tell(outcome: Outcome) -> dict[str, object]:
    seen = seen_key("crops")
    return {
        "method": outcome.cell.method,
        "seed": outcome.cell.seed,
        **{name: score(outcome.classes, LESION, metric) for name, metric in _METRICS.items()},
        seen: outcome.record.get(seen),
    }
