"""The pages and files that an experiment leaves: tables, gap, figures, and how they were made."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kseg.transforms.atomic import atomic_path
from paper.cells import write_cases_csv, write_cells_csv, write_records
from paper.evaluation import Outcome
from paper.figures import figure5, figure6, write_figure6_csv
from paper.gap import gap_markdown
from paper.grid import TYPES, Cell, figure5_cell
from paper.other_scans import scan_rows, scans_markdown, write_scans_csv
from paper.plan import seen_key
from paper.rows import CALIBRATION, TISSUES, Row, percent, plain, score, table_rows
from paper.scans import simulate_test_heads
from paper.seranet_columns import AVERAGE_DICE, CSV, MARKDOWN, METRICS
from paper.seranet_experiment import SeranetExperiment
from paper.tables import HOW_JUDGED, missing_markdown, order_markdown, table_markdown, write_table_csv
from paper.text import how_made, weights_taken, write_page

_HOW_TO_READ = (
    "Mean ± standard deviation over the seeds, where there are several. Dice and Hausdorff distance (the largest "
    "distance between surfaces) are taken over the whole volume of each test head, then averaged; the paper took "
    "them slice by slice, so its distances do not compare with these. ECE is the expected calibration error of the "
    f"probabilities, of the voxels where a structure is seen, without a temperature. {HOW_JUDGED}\n"
)
_HOW_MADE = "[How this was made](index.md)\n"


def write_results(experiment: SeranetExperiment, outcomes: Mapping[Cell, Outcome], output: Path) -> list[str]:
    """Write everything into a folder, each file in one step.

    Args:
        experiment: what was run.
        outcomes: what became of every cell.
        output: made if missing.

    Returns:
        What could not be drawn, one line each.
    """
    output.mkdir(parents=True, exist_ok=True)
    grid, budget, runs = experiment.grid, experiment.budget, experiment.runs
    tables = {noise: table_rows(grid, budget, noise, outcomes) for noise in budget.noises}
    others = scan_rows(grid, budget, outcomes)
    pages: dict[str, list[str]] = {}
    for number, (noise, rows) in enumerate(tables.items(), start=1):
        if any(row.begun for row in rows):
            pages[f"table{number}"] = _table(number, noise, rows, experiment)
        write_table_csv(output / f"table{number}.csv", rows, CSV, runs)
    if any(row.done and row.block for rows in tables.values() for row in rows):
        pages["gap"] = [_GAP, gap_markdown(tables, grid, budget)]
    if any(row.begun for known in others.values() for scan, row in known.items() if scan):
        pages["scans"] = [_SCANS, scans_markdown(others, grid, budget, runs)]
    # What was written of other results must not stand for these.
    for path in (*output.glob("table*.md"), output / "gap.md", output / "scans.md"):
        if path.stem not in pages:
            path.unlink(missing_ok=True)
    for name, parts in pages.items():
        write_page(output / f"{name}.md", *parts, _HOW_MADE)
    write_scans_csv(output / "scans.csv", others, runs)
    write_figure6_csv(output / "figure6.csv", grid, budget, outcomes, runs)
    write_cells_csv(output / "cells.csv", list(outcomes.values()), runs, _tell)
    write_cases_csv(output / "cases.csv", list(outcomes.values()))
    write_records(output / "records.tar.gz", experiment, outcomes)
    failures = []
    for name, draw in _figures(experiment, outcomes).items():
        failures += _draw(output / name, draw)
    drawn = [name for name in _figures(experiment, outcomes) if (output / name).is_file()]
    made = how_made(_conditions(experiment), outcomes)
    write_page(output / "index.md", _index(experiment, list(pages), drawn, failures), made)
    return failures


def _table(number: int, noise: float, rows: Sequence[Row], experiment: SeranetExperiment) -> list[str]:
    runs = experiment.runs
    order = order_markdown(rows, experiment.grid.comparisons, AVERAGE_DICE)
    return [
        f"# Table {number}: {percent(experiment.budget.fraction)} of the lines, {percent(noise)} noise\n",
        _HOW_TO_READ,
        table_markdown(rows, MARKDOWN, runs),
        f"## Order of the average Dice\n\n{order}",
        f"## Missing\n\n{missing_markdown(rows, runs)}",
    ]


_GAP = """# Gap closed

(method - Zero-filling) / (Fully-sampled - Zero-filling) in average Dice, computed for each seed that all three have;
mean ± standard deviation over the seeds. 0 is what segmenting the zero-filled image gives, 1 what all lines give.
Dice is that of whole volumes, in the paper's columns the average over slices. Rows and noise levels that are not
there have not been run.
"""

_SCANS = """# Other scans

Average Dice on scans of the test heads that differ from those of the tables in what the column says; mean ± standard
deviation over the seeds. The first row learnt from scans of the first column alone.
"""


def _tell(outcome: Outcome) -> dict[str, object]:
    cell, seen = outcome.cell, seen_key("slices")
    calibration = outcome.record.get("calibration", {})
    return {
        "method": cell.method,
        "type": TYPES.get(cell.block or "", ""),
        "blocks": cell.n_blocks,
        "noise": cell.noise,
        "seed": cell.seed,
        "scan": cell.scan or "",
        **{
            f"{tissue}_{name}": score(outcome.classes, tissue, metric)
            for tissue in TISSUES
            for metric, name in METRICS.items()
        },
        **{name: calibration.get(name) for name in CALIBRATION},
        seen: outcome.record.get(seen),
    }


def _conditions(experiment: SeranetExperiment) -> list[str]:
    budget, heads = experiment.budget, experiment.heads
    per_epoch = len(budget.slices) * len(heads.train)
    sizes = {**budget.sizes, **budget.reconstruction_sizes}
    return [
        f"budget `{budget.name}`: {budget.epochs} epochs of {len(heads.train)} heads x {len(budget.slices)} slices, "
        f"each within {budget.slice_jitter:g} slices of its place, = {budget.epochs * per_epoch} slices seen by "
        "every method, by the stages of one that has several together; every stage starts at the same learning rate "
        "and halves it at the same shares of its length; the same seed gives the same slices in the same order, "
        "later stages of a method see further ones",
        f"Adam, learning rate {budget.learning_rate:g} halved after each {percent(budget.halve_after)} of a stage; "
        f"batches of {budget.batch_size}; {budget.precision}",
        f"{budget.n_blocks} reconstruction blocks; "
        + ", ".join(f"{name} {value}" for name, value in sizes.items()),
        weights_taken(budget.chosen),
        f"{len(heads.test)} test heads, scanned once for each noise level with the same times, the same scans for "
        "every method; in training the times vary by 5 %, in the paper those of the test do as well",
        "a reconstruction's own loss compares with the image without noise, the paper's with the noisy one",
    ]


def _figures(
    experiment: SeranetExperiment, outcomes: Mapping[Cell, Outcome]
) -> dict[str, Callable[[], bytes]]:
    grid, budget, runs = experiment.grid, experiment.budget, experiment.runs
    cell = figure5_cell(budget)

    def draw5() -> bytes:
        if outcomes[cell].missing:
            raise ValueError(f"figure 5: {cell.name} is missing: {plain(outcomes[cell].missing, runs)}")
        scans = simulate_test_heads(experiment.heads, experiment.scan(cell), runs)
        return figure5(experiment.folder(cell), scans)

    return {"figure5.png": draw5, "figure6.png": lambda: figure6(grid, budget, outcomes)}


def _draw(path: Path, draw: Callable[[], bytes]) -> list[str]:
    try:
        picture = draw()
    except (ValueError, OSError) as error:
        # One that was drawn from other results must not stand for these.
        path.unlink(missing_ok=True)
        return [f"{path.name}: {error}"]
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
    return []


def _index(
    experiment: SeranetExperiment, pages: Sequence[str], drawn: Sequence[str], failures: Sequence[str]
) -> str:
    budget = experiment.budget
    noise = percent(budget.noises[0])
    captions = {
        "figure5.png": "Figure 5: probability of each tissue in the first pass and after each recurrence of "
        f"SERANet-3 (type {TYPES[budget.blocks[0]]}), {noise} noise, and the reference.",
        "figure6.png": f"Figure 6: Dice against the number of reconstruction blocks, {noise} noise, "
        f"seed {budget.seeds[0]}; solid: type A, dashed: type B.",
    }
    toctree = "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(pages) + "\n```\n" if pages else ""
    figures = "\n".join(f"![{captions[name]}]({name})\n\n{captions[name]}\n" for name in drawn)
    missing = "".join(f"- not drawn: {plain(line, experiment.runs)}\n" for line in failures)
    files = (
        "`cells.csv` holds every single network, `cases.csv` every head; `records.tar.gz`, unpacked in a folder of "
        "runs, is what the program goes on from."
    )
    title = f"# SERANet, budget {budget.name}\n\nWritten by `benchmarks/paper_tables.py`; {files}\n"
    return "\n".join(part for part in (title, toctree, figures, missing) if part)
