"""The tables from results that were made up: every number, and everything that is not there."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from paper.experiment import read_cells
from paper.gap import gap_markdown, gaps
from paper.grid import Cell, all_cells, figure5_cell, table_cells
from paper.other_scans import scan_rows, scans_markdown, write_scans_csv
from paper.rows import Row, percent, plain, score, table_rows
from paper.seranet_columns import AVERAGE_DICE, CSV, MARKDOWN
from paper.seranet_experiment import SeranetExperiment
from paper.tables import missing_markdown, order_markdown, table_markdown, write_table_csv

ZERO, FULL = (Cell(name, None, 0, 0.1, 0) for name in ("zero_filling", "fully_sampled"))


def rows_of(experiment: SeranetExperiment, noise: float = 0.1) -> dict[tuple[str, str | None], Row]:
    outcomes = read_cells(experiment, all_cells(experiment.grid, experiment.budget))
    rows = table_rows(experiment.grid, experiment.budget, noise, outcomes)
    return {(row.method.name, row.block): row for row in rows}


def line_of(text: str, title: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_holds_mean_and_spread_of_every_tissue_and_of_their_average(experiment, make_up) -> None:
    for seed, dice in enumerate((0.80, 0.82, 0.84)):
        make_up(Cell("zero_filling", None, 0, 0.1, seed), dice, dice - 0.1, dice - 0.2)
    rows = rows_of(experiment)
    text = table_markdown(list(rows.values()), MARKDOWN, experiment.runs)
    assert line_of(text, "Zero-filling") == [
        *("Zero-filling", "0.8200 ± 0.0200", "1.00 ± 0.00", "0.7200 ± 0.0200", "2.00 ± 0.00"),
        *("0.6200 ± 0.0200", "3.00 ± 0.00", "0.7200 ± 0.0200", "2.00 ± 0.00", "0.0820 ± 0.0020", "3"),
    ]


def test_where_a_seed_has_no_calibration_error_the_row_has_none(experiment, make_up, tmp_path: Path) -> None:
    for seed in range(3):
        make_up(Cell("zero_filling", None, 0, 0.1, seed), 0.8, 0.8, 0.8, calibrated=seed > 0)
    rows = list(rows_of(experiment).values())
    # Not the mean over those that there are.
    assert line_of(table_markdown(rows, MARKDOWN, experiment.runs), "Zero-filling")[-2:] == ["-", "3"]
    write_table_csv(tmp_path / "table.csv", rows, CSV, experiment.runs)
    with (tmp_path / "table.csv").open() as file:
        (line,) = (line for line in csv.DictReader(file) if line["method"] == "Zero-filling")
    assert line["expected_calibration_error"] == line["structures_expected_calibration_error_sd"] == ""


def test_rows_stand_in_the_papers_order_with_the_types_below(experiment, make_up) -> None:
    for noise_cells in (table_cells(m, 0.1, experiment.budget) for m in experiment.grid.methods.values()):
        for cells in noise_cells.values():
            make_up(cells[0], 0.8, 0.8, 0.8)
    text = table_markdown(list(rows_of(experiment).values()), MARKDOWN, experiment.runs)
    first = [line.strip("| ").split("|")[0].strip() for line in text.splitlines()[2:]]
    paper = ["SegNetMRI", "Two-step", "Joint", "SERANet-1", "SERANet-2", "SERANet-3", "SERANet-3++"]
    types = ["*Reconstruction type A (cascade)*", *paper, "*Reconstruction type B (autoencoder)*", *paper]
    assert first[: 2 + len(types)] == ["Fully-sampled", "Zero-filling", *types]
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_missing_cell_is_named_and_never_averaged_over_silently(experiment, make_up) -> None:
    for seed in (0, 2):
        make_up(Cell("zero_filling", None, 0, 0.1, seed), 0.8, 0.8, 0.8)
    rows = list(rows_of(experiment).values())
    text = table_markdown(rows, MARKDOWN, experiment.runs)
    assert line_of(text, "Zero-filling")[-1] == "2 of 3"
    missing = missing_markdown(rows, experiment.runs)
    assert missing.endswith("\n- `zero_filling-noise_0.1-seed_1`: missing: not run\n")
    # Rows of which there is nothing have no line in the table and share one below.
    titles = [row.title for row in rows if row.method.name != "zero_filling"]
    assert missing.splitlines()[:-1] == [f"- not run yet: {'; '.join(titles)}"]
    assert [line for line in text.splitlines()[2:] if "Zero-filling" not in line] == []


def test_a_corrupted_result_is_named_with_its_file(experiment, make_up) -> None:
    make_up(ZERO, 0.8, 0.8, 0.8)
    metrics = experiment.folder(ZERO) / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.8", "0.9"))
    rows = list(rows_of(experiment).values())
    reason = "metrics.csv: read record: expected a file of SHA-256"
    assert reason in missing_markdown(rows, experiment.runs)
    assert str(experiment.runs) not in missing_markdown(rows, experiment.runs)


def test_a_result_of_another_budget_does_not_count(experiment, make_up) -> None:
    cell = Cell("joint", "cascade", 1, 0.1, 0)
    make_up(cell, 0.8, 0.8, 0.8)
    assert experiment.read(cell).missing == ""
    longer = dataclasses.replace(experiment.budget, epochs=experiment.budget.epochs + 1)
    another = dataclasses.replace(experiment, budget=longer)
    assert another.read(cell).missing == "not run"
    # Both have their place in the same folder of runs.
    assert another.folder(cell) != experiment.folder(cell)


def test_a_result_without_maps_is_not_that_of_figure_5(experiment) -> None:
    cell = figure5_cell(experiment.budget)
    other = dataclasses.replace(experiment.budget, seeds=(5, *experiment.budget.seeds))
    assert experiment.folder(cell) != dataclasses.replace(experiment, budget=other).folder(cell)
    flip = dataclasses.replace(cell, method="flip")
    assert experiment.plan(flip)[0].name == experiment.plan(cell)[0].name
    assert experiment.conditions(flip) != experiment.conditions(cell)


def test_a_result_of_other_test_heads_does_not_count(experiment, make_up) -> None:
    make_up(ZERO, 0.8, 0.8, 0.8)
    heads = dataclasses.replace(experiment.heads, sha256={**experiment.heads.sha256, "c.nii.gz": "another"})
    assert dataclasses.replace(experiment, heads=heads).read(ZERO).missing == "not run"
    assert experiment.read(ZERO).missing == ""


@pytest.mark.parametrize("key", ["seconds", "commits", "calibration"])
def test_a_result_with_another_value_is_named(experiment, make_up, key: str) -> None:
    make_up(ZERO, 0.8, 0.8, 0.8)
    path = experiment.folder(ZERO) / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: None}))
    assert "result.json: read record: expected content of digest " in experiment.read(ZERO).missing


def test_a_structure_that_no_distance_was_measured_of_makes_no_average(experiment, make_up) -> None:
    make_up(ZERO, 0.8, 0.8, 0.8)
    outcome = experiment.read(ZERO)
    assert score(outcome.classes, "average", "hausdorff_mm") == 2.0
    classes = [
        dataclasses.replace(item, hausdorff_mm=None) if item.class_name == "WM" else item
        for item in outcome.classes
    ]
    assert score(classes, "average", "hausdorff_mm") is None
    unmeasured = dataclasses.replace(outcome, classes=classes)
    row = Row(experiment.grid.methods["zero_filling"], None, (outcome, unmeasured))
    assert row.values("WM", "hausdorff_mm") == ()
    assert row.values("CSF", "hausdorff_mm") == (1.0, 1.0)


def test_the_order_is_judged_by_the_spread(experiment, make_up) -> None:
    dice = {"zero_filling": (0.70, 0.71, 0.72), "joint": (0.80, 0.81, 0.82), "seranet_3": (0.81, 0.82, 0.82)}
    for method, values in dice.items():
        for seed, value in enumerate(values):
            block = None if method == "zero_filling" else "cascade"
            make_up(Cell(method, block, 1 if block else 0, 0.1, seed), value, value, value)
    rows = list(rows_of(experiment).values())
    text = order_markdown(rows, experiment.grid.comparisons, AVERAGE_DICE)
    told = "- SERANet-3 (A) and Joint (A): a tie, the difference lies within the spread: "
    assert f"{told}0.8167 ± 0.0058 and 0.8100 ± 0.0100; seed by seed +0.0067 ± 0.0058\n" in text
    told = "- Joint (A) is better than Zero-filling: "
    assert f"{told}0.8100 ± 0.0100 and 0.7100 ± 0.0100; seed by seed +0.1000 ± 0.0000\n" in text
    assert "SERANet-3++" not in text
    (experiment.folder(Cell("joint", "cascade", 1, 0.1, 2)) / "result.json").unlink()
    rows = list(rows_of(experiment).values())
    text = order_markdown(rows, experiment.grid.comparisons, AVERAGE_DICE)
    told = "- Joint (A) and Zero-filling: too few seeds to judge the difference by: "
    numbers = "0.8050 ± 0.0071 and 0.7100 ± 0.0100; seed by seed +0.1000 ± 0.0000"
    assert f"{told}{numbers} (Joint (A): 2 of 3 seeds)\n" in text
    (experiment.folder(Cell("joint", "cascade", 1, 0.1, 1)) / "result.json").unlink()
    (experiment.folder(Cell("zero_filling", None, 0, 0.1, 0)) / "result.json").unlink()
    rows = list(rows_of(experiment).values())
    text = order_markdown(rows, experiment.grid.comparisons, AVERAGE_DICE)
    assert f"{told}0.8000 and 0.7150 ± 0.0071 (" in text
    assert order_markdown(rows, [("two_step", "joint")], AVERAGE_DICE) == (
        "No two rows to compare have been run.\n"
    )


def test_the_csv_holds_the_same_numbers_and_the_reasons(experiment, make_up, tmp_path: Path) -> None:
    for seed, dice in enumerate((0.80, 0.82)):
        make_up(Cell("zero_filling", None, 0, 0.1, seed), dice, dice, dice)
    write_table_csv(tmp_path / "table.csv", list(rows_of(experiment).values()), CSV, experiment.runs)
    with (tmp_path / "table.csv").open() as file:
        lines = {(line["method"], line["type"]): line for line in csv.DictReader(file)}
    zero = lines["Zero-filling", ""]
    assert float(zero["average_dice"]) == pytest.approx(0.81)
    assert float(zero["average_dice_sd"]) == pytest.approx(0.0141421)
    assert float(zero["WM_hausdorff95_mm"]) == 1.5
    assert float(zero["expected_calibration_error"]) == pytest.approx(0.0405)
    assert float(zero["structures_expected_calibration_error"]) == pytest.approx(0.081)
    assert (zero["seeds"], zero["seeds_planned"]) == ("2", "3")
    assert zero["missing"] == "zero_filling-noise_0.1-seed_2: not run"
    assert lines["Joint", "B"]["average_dice"] == ""


def test_the_gap_closed_is_that_of_each_seed(experiment, make_up) -> None:
    for seed, (low, middle, high) in enumerate(((0.7, 0.8, 0.9), (0.7, 0.84, 0.9))):
        make_up(Cell("zero_filling", None, 0, 0.1, seed), low, low, low)
        make_up(Cell("fully_sampled", None, 0, 0.1, seed), high, high, high)
        make_up(Cell("seranet_3_pretrained", "autoencoder", 1, 0.1, seed), middle, middle, middle)
    rows = rows_of(experiment)
    row = rows["seranet_3_pretrained", "autoencoder"]
    found = gaps(row, rows["fully_sampled", None], rows["zero_filling", None])
    assert found == {0: pytest.approx(0.5), 1: pytest.approx(0.7)}
    tables = {noise: list(rows_of(experiment, noise).values()) for noise in (0.1, 0.2)}
    text = gap_markdown(tables, experiment.grid, experiment.budget)
    assert text.splitlines()[2:] == ["| SERANet-3++ | B | 0.60 ± 0.14 (2 of 3 seeds) | 0.69 | - | 0.54 |"]
    make_up(Cell("segnetmri", "cascade", 1, 0.2, 0), 0.8, 0.8, 0.8)
    tables = {noise: list(rows_of(experiment, noise).values()) for noise in (0.1, 0.2)}
    text = gap_markdown(tables, experiment.grid, experiment.budget)
    assert "| SegNetMRI | A | - | 0.51 | missing: Fully-sampled, Zero-filling | 0.03 |" in text
    # Beyond the paper there is one noise level.
    make_up(Cell("dice_loss", "cascade", 1, 0.1, 0), 0.85, 0.85, 0.85)
    tables = {noise: list(rows_of(experiment, noise).values()) for noise in (0.1, 0.2)}
    text = gap_markdown(tables, experiment.grid, experiment.budget)
    assert "| SERANet-3, Dice + cross entropy | A | 0.75 (1 of 3 seeds) |  | - |  |" in text


def test_other_scans_stand_beside_those_of_the_table(experiment, make_up, tmp_path: Path) -> None:
    for seed, dice in enumerate((0.80, 0.82, 0.84)):
        make_up(Cell("contrasts", "cascade", 1, 0.1, seed), dice, dice, dice)
        make_up(Cell("contrasts", "cascade", 1, 0.1, seed, scan="pdw"), dice - 0.1, dice - 0.1, dice - 0.1)
    make_up(Cell("seranet_3", "cascade", 1, 0.1, 1, scan="pdw"), 0.5, 0.5, 0.5)
    outcomes = read_cells(experiment, all_cells(experiment.grid, experiment.budget))
    rows = scan_rows(experiment.grid, experiment.budget, outcomes)
    text = scans_markdown(rows, experiment.grid, experiment.budget, experiment.runs)
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines()
    ]
    assert header[:3] == ["method", "30 % of the lines, 10 % noise", "10 % of the lines"]
    told = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    contrasts = told["SERANet-3, T2w, PDw and T1w scans in training (A)"]
    assert contrasts[header[1]] == "0.8200 ± 0.0200"
    assert (contrasts["PDw"], contrasts["10 % of the lines"]) == ("0.7200 ± 0.0200", "")
    assert contrasts["T1w, inversion"] == "-"
    assert [line[0] for line in lines] == ["SERANet-3 (A)", contrasts["method"]]
    assert told["SERANet-3 (A)"]["PDw"] == "0.5000 (1 of 3 seeds)"
    write_scans_csv(tmp_path / "scans.csv", rows, experiment.runs)
    with (tmp_path / "scans.csv").open() as file:
        read = {(line["method"], line["scan"]): line for line in csv.DictReader(file)}
    assert float(read[contrasts["method"], "pdw"]["average_dice_sd"]) == pytest.approx(0.02)
    assert read["SERANet-3 (A)", "pdw"]["seeds"] == "1"
    assert read["SERANet-3 (A)", "pdw"]["missing"] == "not run; not run"


def test_there_is_no_gap_where_all_lines_give_no_more(experiment, make_up) -> None:
    make_up(ZERO, 0.8, 0.8, 0.8)
    make_up(FULL, 0.8, 0.8, 0.8)
    make_up(Cell("joint", "cascade", 1, 0.1, 0), 0.9, 0.9, 0.9)
    tables = {noise: list(rows_of(experiment, noise).values()) for noise in (0.1, 0.2)}
    text = gap_markdown(tables, experiment.grid, experiment.budget)
    assert "| Joint | A | no gap: Fully-sampled is not better than Zero-filling | 0.46 |" in text


def test_reasons_lose_the_folders_of_this_machine() -> None:
    runs = Path("/data/runs")
    assert (
        plain("/data/runs/cells/a.json: read: expected /opt/x.py", runs)
        == "cells/a.json: read: expected x.py"
    )
    assert plain("'/opt/a b.py' | and/or 2/3", runs) == "'a b.py' / and/or 2/3"
    assert len(plain("x" * 1000, runs)) == 200


def test_percent_has_a_space() -> None:
    assert percent(0.1) == "10 %"
