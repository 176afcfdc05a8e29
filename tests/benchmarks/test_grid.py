"""Which cells there are, in which order, and what each of them trains."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from paper import plan
from paper.budget import Budget, Heads, load_budget
from paper.grid import Cell, all_cells, figure5_cell, figure6_cells, load_grid, table_cells
from paper.plan import share_epochs
from paper.scans import Scan
from paper.seranet_experiment import SeranetExperiment

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.simulate import SimulationSettings
from kseg.transforms.sequences import SpinEcho

GRID = load_grid()
PAPER = [name for name, method in GRID.methods.items() if not method.beyond]


def test_the_rows_are_the_papers() -> None:
    assert [GRID.methods[name].title for name in PAPER] == [
        "Fully-sampled",
        "Zero-filling",
        "SegNetMRI",
        "Two-step",
        "Joint",
        "SERANet-1",
        "SERANet-2",
        "SERANet-3",
        "SERANet-3++",
    ]
    assert [name for name, method in GRID.methods.items() if method.figure6] == [
        "two_step",
        "joint",
        "seranet_3",
    ]


def test_every_configuration_is_one_of_the_bundle() -> None:
    folder = find_bundle("brain_kspace_segmentation") / "configs/methods"
    used = {name for method in GRID.methods.values() for stage in method.stages for name in stage.configs}
    assert [name for name in sorted(used) if not (folder / f"{name}.json").is_file()] == []


def test_headline_rows_have_every_seed_and_the_others_the_first(budget: Budget) -> None:
    seeds = {
        name: [cell.seed for cell in table_cells(GRID.methods[name], 0.2, budget).get("autoencoder", [])]
        for name in ("seranet_3", "seranet_1")
    }
    assert seeds == {"seranet_3": [0, 1, 2], "seranet_1": [0]}
    assert table_cells(GRID.methods["zero_filling"], 0.1, budget).keys() == {None}


def test_every_cell_comes_once_headlines_and_the_first_seed_first(budget: Budget) -> None:
    cells = all_cells(GRID, budget)
    assert len(set(cells)) == len(cells)
    assert len({cell.name for cell in cells}) == len(cells)
    of_tables_alone = [cell for cell in cells if cell.scan is None]
    of_paper = [cell for cell in of_tables_alone if cell.method in PAPER and cell.n_blocks != 2]
    rank = [(cell.seed, not GRID.methods[cell.method].headline) for cell in of_paper]
    assert rank == sorted(rank)
    assert [cell.noise for cell in of_paper if cell.seed == 1] == sorted(
        cell.noise for cell in of_paper if cell.seed == 1
    )
    # Per noise level: 2 rows without blocks, 3 headline rows and 4 others with two types.
    of_tables = 2 * (3 * (2 + 3 * 2) + 4 * 2)
    beyond = sum(
        len(cells)
        for m in GRID.methods.values()
        if m.beyond
        for cells in table_cells(m, 0.1, budget).values()
    )
    on_other_scans = sum(3 * len(m.scans) for m in GRID.methods.values())
    assert len(cells) == of_tables + beyond + 3 * 2 + on_other_scans
    assert figure5_cell(budget) in cells


def test_rows_beyond_the_paper_are_run_at_the_first_noise_level_alone(budget: Budget) -> None:
    beyond = {cell.noise for cell in all_cells(GRID, budget) if cell.method not in PAPER}
    assert (beyond, budget.noises) == ({0.1}, (0.1, 0.2))
    assert {cell.noise for cell in all_cells(GRID, budget)} == {0.1, 0.2}


def test_figure_6_shares_its_cells_with_the_table(budget: Budget) -> None:
    drawn = figure6_cells(GRID.methods["joint"], budget)["cascade"]
    assert [cell.n_blocks for cell in drawn] == [1, 2]
    assert drawn[0] == table_cells(GRID.methods["joint"], 0.1, budget)["cascade"][0]
    assert figure6_cells(GRID.methods["seranet_1"], budget) == {}


@pytest.mark.parametrize("name", ["smoke", "cpu", "cpu_long", "gpu"])
def test_every_method_sees_the_same_number_of_slices(name: str, experiment: SeranetExperiment) -> None:
    shipped = load_budget(name)
    whole = SeranetExperiment(GRID, experiment.heads, experiment.runs, shipped)
    seen = {cell: sum(each.seen for each in whole.plan(cell)) for cell in all_cells(GRID, shipped)}
    assert set(seen.values()) == {shipped.epochs * len(shipped.slices) * 2}


def test_a_reconstruction_is_shared_by_the_methods_that_start_from_it(experiment: SeranetExperiment) -> None:
    plans = {
        method: experiment.plan(Cell(method, "cascade", 1, 0.1, 0))
        for method in ("two_step", "segnetmri", "seranet_3_pretrained")
    }
    assert len({plan[0].name for plan in plans.values()}) == 1
    others = [Cell("two_step", "autoencoder", 1, 0.1, 0), Cell("two_step", "cascade", 1, 0.2, 0)]
    others += [Cell("two_step", "cascade", 2, 0.1, 0), Cell("two_step", "cascade", 1, 0.1, 1)]
    assert len({experiment.plan(cell)[0].name for cell in others} | {plans["two_step"][0].name}) == 5


def test_stages_see_new_slices_under_the_same_schedule(experiment: SeranetExperiment) -> None:
    plan = experiment.plan(Cell("seranet_3_pretrained", "cascade", 1, 0.2, 1))
    assert [each.arguments["seed"] for each in plan] == [1, 1001, 2001]
    assert {each.arguments["learning_rate"] for each in plan} == {experiment.budget.learning_rate}
    # The rate is halved after the same share of each stage, however short.
    assert [each.arguments["epochs"] for each in plan] == [1, 1, 2]
    assert [each.arguments["halve_every"] for each in plan] == [0.4, 0.4, 0.8]
    assert all(each.arguments["noise"] == [0.2, 0.2] for each in plan)
    assert plan[2].warm_start == {"reconstruction": plan[1], "segmenter": plan[1]}
    assert plan[2].arguments["n_recurrences"] == 3


def test_a_network_without_reconstruction_gets_no_blocks(experiment: SeranetExperiment) -> None:
    (full,) = experiment.plan(Cell("fully_sampled", None, 0, 0.1, 0))
    assert full.arguments["fraction"] == 1.0
    assert "n_blocks" not in full.arguments
    assert "block" not in full.arguments
    (zero,) = experiment.plan(Cell("zero_filling", None, 0, 0.1, 0))
    assert zero.arguments["fraction"] == 0.3


def test_averaging_with_the_mirrored_scan_costs_no_training(experiment: SeranetExperiment) -> None:
    flip, plain = (experiment.plan(Cell(name, "cascade", 1, 0.1, 0)) for name in ("flip", "seranet_3"))
    assert [each.name for each in flip] == [each.name for each in plain]
    assert GRID.methods["flip"].flip


def test_a_test_on_other_scans_costs_no_training(experiment: SeranetExperiment) -> None:
    own, few = (Cell("all_scans", "cascade", 1, 0.1, 0, scan=scan) for scan in (None, "few_lines"))
    assert [each.name for each in experiment.plan(own)] == [each.name for each in experiment.plan(few)]
    assert experiment.folder(own) != experiment.folder(few)
    assert experiment.conditions(few) == {**experiment.conditions(own), "fraction": 0.1}


def test_a_training_with_noise_levels_of_its_own_is_that_of_every_table(
    experiment: SeranetExperiment,
) -> None:
    names = [experiment.plan(Cell("all_scans", "cascade", 1, noise, 0))[0].name for noise in (0.1, 0.2)]
    assert names[0] == names[1]
    folders = [experiment.folder(Cell("all_scans", "cascade", 1, noise, 0)) for noise in (0.1, 0.2)]
    assert folders[0] != folders[1]


def test_other_scans_differ_in_what_is_told_alone(experiment: SeranetExperiment) -> None:
    def scan(key: str | None) -> Scan:
        return experiment.scan(Cell("seranet_3", "cascade", 1, 0.1, 0, scan=key))

    assert scan(None) == Scan(0.1, 0.3)
    assert scan("twice_the_noise") == Scan(0.2, 0.3)
    assert scan("all_lines") == Scan(0.1, 1.0)
    sequence = scan("pdw").settings().protocol.sequence
    assert isinstance(sequence, SpinEcho)
    assert (sequence.te, sequence.tr) == (0.02, 3.0)
    assert scan(None).settings() == SimulationSettings(noise=0.1, fraction=0.3, seed=0)
    names = [scan(key).name for key in (None, *GRID.other_scans)]
    assert len(set(names)) == len(names)


def test_the_contrasts_of_the_test_lie_in_the_ranges_of_the_training() -> None:
    path = find_bundle("brain_kspace_segmentation") / "configs/methods/contrasts.json"
    trained = json.loads(path.read_text())["scans"]
    told = [scan.sequence for key, scan in GRID.other_scans.items() if key in GRID.methods["contrasts"].scans]
    for sequence in told:
        assert any(
            set(sequence) == set(ranges) - {"_target_"}
            and all(low <= sequence[key] <= high for key, (low, high) in _ranges(ranges).items())
            for ranges in trained
            if ranges["name"] == sequence["name"]
        ), sequence


def _ranges(ranges: dict) -> dict[str, list[float]]:
    return {key: value for key, value in ranges.items() if key not in ("_target_", "name")}


def test_too_few_epochs_for_the_stages_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected an epoch for each of 3 stages, received 1 epochs"):
        share_epochs(1, [1, 1, 1])


def test_the_name_of_a_training_does_not_depend_on_where_the_heads_lie(
    experiment: SeranetExperiment, tmp_path: Path
) -> None:
    cell = Cell("joint", "cascade", 1, 0.1, 0)
    name = experiment.plan(cell)[0].name
    known = experiment.heads.sha256
    heads = Heads(tuple(tmp_path / path.name for path in experiment.heads.train), (), known)
    assert SeranetExperiment(GRID, heads, tmp_path, experiment.budget).plan(cell)[0].name == name
    others = Heads(heads.train[:1], (), known), Heads(heads.train, (), {**known, "a.nii.gz": "another"})
    for other in others:
        assert SeranetExperiment(GRID, other, tmp_path, experiment.budget).plan(cell)[0].name != name


@pytest.mark.parametrize("changed", ["train.json", "methods/joint.json", "inference.json"])
def test_a_training_of_another_configuration_is_another_training(
    changed: str, experiment: SeranetExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(find_bundle("brain_kspace_segmentation"), tmp_path / "bundle"))
    monkeypatch.setattr(plan, "find_bundle", lambda name: bundle)
    cell = Cell("joint", "cascade", 1, 0.1, 0)
    before = experiment.plan(cell)[0].name
    path = bundle / "configs" / changed
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    assert experiment.plan(cell)[0].name == before
    content["network_def" if changed == "inference.json" else "shear"] = {"n_blocks": 7}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert experiment.plan(cell)[0].name != before


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("smoke", "7a5093ccb95d1135"),
        ("cpu", "3cf6f7f89b289570"),
        ("cpu_long", "8afd8b94b95887b4"),
        ("gpu", "4fdf1213f9b8d27f"),
    ],
)
def test_trainings_keep_their_names_so_that_what_was_run_is_found_again(
    name: str, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "read_configuration", lambda bundle, configs: [])
    train, test = (
        [Path(f"{kind}{number}.nii.gz") for number in range(n)] for kind, n in (("h", 14), ("t", 3))
    )
    budget = load_budget(name)
    heads = Heads(tuple(train), tuple(test), {path.name: "0" for path in (*train, *test)})
    whole = SeranetExperiment(GRID, heads, Path("runs"), budget)
    names = {training.name for cell in whole.cells() for training in whole.plan(cell)}
    names |= {cell.name for cell in whole.cells()}
    assert hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16] == digest
