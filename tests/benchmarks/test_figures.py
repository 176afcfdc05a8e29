"""The figures: what is drawn, what is missing, and that nothing stale stays."""

import csv
import dataclasses
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from paper.experiment import read_cells
from paper.figures import figure5, figure6, write_figure6_csv
from paper.grid import Cell, all_cells, figure5_cell, figure6_cells
from paper.pages import write_results
from paper.seranet_experiment import SeranetExperiment
from paper.text import how_made

from kseg.transforms.errors import InputError
from kseg.transforms.nifti import write_nifti


def outcomes_of(experiment: SeranetExperiment) -> dict:
    return read_cells(experiment, all_cells(experiment.grid, experiment.budget))


def picture_of(png: bytes) -> np.ndarray:
    return np.asarray(imread(BytesIO(png), format="png"), float)[..., :3]


def coloured(picture: np.ndarray, colour: tuple[float, float, float]) -> int:
    return int((np.abs(picture - np.asarray(colour)).max(-1) < 0.02).sum())


GREEN = (0.0, 0.62, 0.451)


@pytest.fixture
def drawn(experiment, make_up) -> SeranetExperiment:
    for method in experiment.grid.methods.values():
        for cells in figure6_cells(method, experiment.budget).values():
            for cell in cells:
                value = 0.8 + 0.02 * cell.n_blocks
                make_up(cell, value, value - 0.1, value - 0.2)
    return experiment


def test_figure_6_draws_every_method_in_each_tissue(drawn: SeranetExperiment) -> None:
    picture = picture_of(figure6(drawn.grid, drawn.budget, outcomes_of(drawn)))
    thirds = np.array_split(picture, 3, axis=1)
    assert all(coloured(third, GREEN) > 50 for third in thirds)


def test_a_missing_point_is_a_gap_that_the_figure_tells(drawn: SeranetExperiment) -> None:
    whole = picture_of(figure6(drawn.grid, drawn.budget, outcomes_of(drawn)))
    (drawn.folder(Cell("seranet_3", "cascade", 2, 0.1, 0)) / "result.json").unlink()
    gap = picture_of(figure6(drawn.grid, drawn.budget, outcomes_of(drawn)))
    orange = (0xD5 / 255, 0x5E / 255, 0.0)
    assert coloured(whole[:30], orange) == 0
    assert coloured(gap[:30], orange) > 20


def test_figure_6_of_nothing_is_not_drawn(experiment: SeranetExperiment) -> None:
    with pytest.raises(ValueError, match="figure 6: no method has been run with several numbers of blocks"):
        figure6(experiment.grid, experiment.budget, outcomes_of(experiment))


def test_figure_6_of_a_single_point_is_not_drawn(experiment: SeranetExperiment, make_up) -> None:
    make_up(Cell("joint", "cascade", 1, 0.1, 0), 0.8, 0.8, 0.8)
    with pytest.raises(ValueError, match="figure 6: no method"):
        figure6(experiment.grid, experiment.budget, outcomes_of(experiment))
    one = dataclasses.replace(experiment.budget, figure6_blocks=(1,))
    outcomes = read_cells(experiment, all_cells(experiment.grid, one))
    assert picture_of(figure6(experiment.grid, one, outcomes)).shape[-1] == 3


def test_the_points_stand_in_the_csv(drawn: SeranetExperiment, tmp_path: Path) -> None:
    (drawn.folder(Cell("joint", "autoencoder", 1, 0.1, 0)) / "result.json").unlink()
    write_figure6_csv(tmp_path / "figure6.csv", drawn.grid, drawn.budget, outcomes_of(drawn), drawn.runs)
    with (tmp_path / "figure6.csv").open() as file:
        lines = {(line["method"], line["type"], line["blocks"]): line for line in csv.DictReader(file)}
    assert len(lines) == 12
    assert float(lines["Two-step", "A", "2"]["CSF"]) == pytest.approx(0.84)
    assert lines["Joint", "B", "1"] | {"missing": ""} == dict(
        zip(lines["Joint", "B", "1"], ["Joint", "B", "1", "", "", "", ""], strict=True)
    )
    assert lines["Joint", "B", "1"]["missing"] == "not run"


@pytest.fixture
def maps(experiment: SeranetExperiment, tmp_path: Path) -> Path:
    """Segmentation, probability maps of two passes and reference of one head of three slices."""
    segmented = experiment.folder(figure5_cell(experiment.budget)) / "segmented"
    (tmp_path / "scans/labels").mkdir(parents=True)
    segmented.mkdir(parents=True)
    labels = np.zeros((12, 10, 3), np.uint8)
    labels[3:9, 2:8, 1] = 2
    for path in (segmented / "c_seg.nii.gz", tmp_path / "scans/labels/c.nii.gz"):
        write_nifti(path, labels, np.eye(4))
    passes = np.stack([(labels[..., None] == np.arange(4)) * share for share in (128, 255)], axis=-1)
    write_nifti(segmented / "c_recurrences.nii.gz", passes.astype(np.uint8), np.eye(4), slope=1 / 255)
    return tmp_path / "scans"


def test_figure_5_shows_the_maps_of_each_pass_and_the_reference(
    experiment: SeranetExperiment, maps: Path
) -> None:
    picture = picture_of(figure5(experiment.folder(figure5_cell(experiment.budget)), maps))
    # Colours of magma at 128/255 and at 1: in the first pass and in the second, and in the reference.
    half, full = (0.716, 0.215, 0.475), (0.987, 0.991, 0.75)
    columns = [
        np.flatnonzero((np.abs(picture - colour).max(-1) < 0.02).sum(0) > 40) for colour in (half, full)
    ]
    assert len(columns[0])
    assert columns[0].max() < columns[1].min()


@pytest.mark.parametrize(
    ("gone", "received"),
    [
        ("c_seg.nii.gz", "expected segmentations, received none"),
        ("c_recurrences.nii.gz", "c_recurrences.nii.gz, received none"),
    ],
)
def test_figure_5_without_its_files_is_an_error(
    experiment: SeranetExperiment, maps: Path, gone: str, received: str
) -> None:
    (experiment.folder(figure5_cell(experiment.budget)) / "segmented" / gone).unlink()
    with pytest.raises(InputError, match=received):
        figure5(experiment.folder(figure5_cell(experiment.budget)), maps)


def test_a_figure_of_other_results_does_not_stay(drawn: SeranetExperiment, tmp_path: Path) -> None:
    output = tmp_path / "results"
    output.mkdir()
    (output / "figure5.png").write_bytes(b"of other results")
    (drawn.folder(figure5_cell(drawn.budget)) / "result.json").unlink()
    (told,) = write_results(drawn, outcomes_of(drawn), output)
    assert told.endswith("seranet_3-cascade_1-noise_0.1-seed_0 is missing: not run")
    assert not (output / "figure5.png").exists()
    index = (output / "index.md").read_text()
    assert "(figure5.png)" not in index
    assert told in index
    assert "(figure6.png)" in index


def test_pages_tell_budget_commit_hardware_and_time(drawn: SeranetExperiment, tmp_path: Path) -> None:
    write_results(drawn, outcomes_of(drawn), tmp_path / "results")
    names = {path.name for path in (tmp_path / "results").iterdir()}
    tables, single = {"table1.md", "table1.csv", "table2.csv"}, {"cells.csv", "cases.csv", "records.tar.gz"}
    assert names == tables | single | {"scans.csv", "gap.md", "index.md", "figure6.csv", "figure6.png"}
    cells = all_cells(drawn.grid, drawn.budget)
    index = (tmp_path / "results/index.md").read_text()
    seen = "2 heads x 1 slices, each within 0.5 slices of its place, = 8 slices seen by every method"
    assert f"budget `smoke`: 4 epochs of {seen}" in index
    assert f"- 12 of {len(cells)} cells, 12.00 hours" in index
    assert "- weights after the last epoch; training never sees the test heads\n" in index
    assert "- commits (`+`: with changes besides): 0123456789ab\n" in index
    assert "- hardware: a processor\n" in index
    for path in (tmp_path / "results").glob("*.md"):
        assert str(tmp_path) not in path.read_text()
    table = (tmp_path / "results/table1.md").read_text()
    assert "30 % of the lines, 10 % noise" in table.splitlines()[0]
    assert table.endswith("\n[How this was made](index.md)\n")
    with (tmp_path / "results/cells.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(cells)
    assert sum(not line["missing"] for line in lines) == 12
    with (tmp_path / "results/cases.csv").open() as file:
        cases = list(csv.DictReader(file))
    assert len(cases) == 12 * 3
    joint = [case for case in cases if case["cell"] == "joint-autoencoder_2-noise_0.1-seed_0"]
    assert [(case["case"], case["class"], float(case["dice"])) for case in joint] == [
        ("c", "CSF", pytest.approx(0.84)),
        ("c", "GM", pytest.approx(0.74)),
        ("c", "WM", pytest.approx(0.64)),
    ]


def test_what_was_chosen_by_the_test_heads_is_told(drawn: SeranetExperiment, tmp_path: Path) -> None:
    chosen = dataclasses.replace(drawn, budget=dataclasses.replace(drawn.budget, chosen="the batch size"))
    write_results(chosen, outcomes_of(drawn), tmp_path)
    told = "training never sees the test heads; chosen by results on the test heads: the batch size\n"
    assert told in (tmp_path / "index.md").read_text()


def test_cells_that_share_their_training_count_it_once(drawn: SeranetExperiment, make_up) -> None:
    make_up(figure5_cell(drawn.budget), 0.8, 0.8, 0.8)
    before = how_made([], outcomes_of(drawn))
    make_up(dataclasses.replace(figure5_cell(drawn.budget), scan="pdw"), 0.8, 0.8, 0.8)
    assert "- 12 of " in before
    assert " 12.00 hours" in before
    # An evaluation more, and no training.
    assert " 12.50 hours" in how_made([], outcomes_of(drawn))


def test_pages_of_other_results_do_not_stay(drawn: SeranetExperiment, tmp_path: Path) -> None:
    for name in ("table1", "table2", "scans"):
        (tmp_path / f"{name}.md").write_text("of other results")
    write_results(drawn, outcomes_of(drawn), tmp_path)
    assert {path.stem for path in tmp_path.glob("*.md")} == {"table1", "gap", "index"}
    toctree = (tmp_path / "index.md").read_text().split("```")[1]
    assert toctree.split() == ["{toctree}", ":maxdepth:", "1", "table1", "gap"]


def test_a_budget_of_one_table_writes_one(drawn: SeranetExperiment, tmp_path: Path) -> None:
    one = dataclasses.replace(drawn, budget=dataclasses.replace(drawn.budget, noises=(0.1,), seeds=(0,)))
    write_results(one, outcomes_of(one), tmp_path / "results")
    assert not (tmp_path / "results/table2.md").exists()
    assert "table2" not in (tmp_path / "results/index.md").read_text()
