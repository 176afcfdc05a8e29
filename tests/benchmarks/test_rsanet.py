"""RSANet's table 1: equal budgets, patients of the test heads, the table from results that were made up."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import paper.patients
import pytest
import rsanet
from paper.budget import Heads
from paper.experiment import read_cells, run_cells
from paper.grid import Cell, load_grid
from paper.patients import simulate_test_patients
from paper.records import write_record
from paper.rsanet_budget import load_rsanet_budget
from paper.rsanet_experiment import RsanetExperiment
from paper.rsanet_pages import write_rsanet_results
from paper.training import train, weights_of

from kseg.pipelines.batch import BatchResult
from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.pipelines.metrics_table import MetricsRow, write_metrics
from kseg.pipelines.simulate_lesions import LesionSettings
from kseg.transforms.errors import InputError

GRID = load_grid(rsanet._GRID)
MakeUp = Callable[..., None]


@pytest.fixture
def lesions(heads: Heads, tmp_path: Path) -> RsanetExperiment:
    """The smoke budget with three seeds, with nothing run yet."""
    budget = dataclasses.replace(load_rsanet_budget("smoke"), seeds=(0, 1, 2))
    return RsanetExperiment(GRID, heads, tmp_path / "runs", budget)


@pytest.fixture
def found(lesions: RsanetExperiment) -> MakeUp:
    """Write the result of a cell as if it had been run: a case of this Dice, and one without a lesion."""

    def write(cell: Cell, dice: float, detected: int = 3) -> None:
        folder = lesions.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        large = StructureMetrics(dice, 4.0, 2.0, 3.0, 3.0)
        nothing = StructureMetrics(0.0, float("inf"), float("inf"), 1.0, 0.0)
        rows = [
            MetricsRow("c_001", 1, "lesion", large, LesionCounts(4, detected, 0)),
            MetricsRow("c_002", 1, "lesion", nothing, LesionCounts(0, 0, 1)),
        ]
        write_metrics(folder / "metrics.csv", rows)
        content = {
            "trainings": [training.name for training in lesions.plan(cell)],
            "cases": ["c_001", "c_002"],
            "calibration": {},
            "seconds": {"training": 1800.0, "evaluation": 1800.0},
            "crops_seen": 8,
            "commits": ["0123456789ab"],
            "hardware": ["a processor"],
        }
        write_record(folder / "result.json", content, {"metrics": folder / "metrics.csv"})

    return write


def page_of(lesions: RsanetExperiment, output: Path) -> str:
    assert write_rsanet_results(lesions, read_cells(lesions, lesions.cells()), output) == []
    return (output / "rsanet.md").read_text()


def test_the_rows_are_the_papers() -> None:
    titles = [method.title for method in GRID.methods.values()]
    assert titles == ["3D U-Net", "NCL-010", "NCL-101", "NCL-111", "RSA-010", "RSA-101", "RSA-111"]
    for name, method in GRID.methods.items():
        places = method.stages[0].options["places"]
        assert places == ("000" if name == "unet" else name.removeprefix(name[:4]))
        attention = method.stages[0].options.get("attention")
        assert attention == {"unet": None, "ncl": "non_local", "rsa": "recurrent_slice"}[name.split("_")[0]]
    assert GRID.printed["rsa_101"]["voxel_dice"] == 71.589
    assert {name for pair in GRID.comparisons for name in pair} <= GRID.methods.keys()


def test_the_gpu_budget_is_the_papers() -> None:
    budget = load_rsanet_budget("gpu")
    assert round(budget.crops_seen(14) / budget.batch_size) == 798
    assert (budget.batch_size, budget.learning_rate, budget.halve_after) == (4, 1e-3, 1.0)
    assert budget.seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("seeds: [0]", "seeds: .*minItems: 1.*, received "),
        ("crop: [16", "crop: .*minItems: 3.*, received "),
        ("crop:", "the keys batch_size"),
        ("crops: 2", "crops that divide the batch size 2 or are a multiple of it"),
    ],
)
def test_a_budget_that_is_none_is_refused(old: str, message: str, tmp_path: Path) -> None:
    text = (Path(paper.patients.__file__).parent / "rsanet_budgets/smoke.yaml").read_text()
    assert old in text
    new = {"seeds: [0]": "seeds: []", "crop:": "window:", "crops: 2": "crops: 3", "crop: [16": "crop: [[16]"}[
        old
    ]
    (tmp_path / "own.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_rsanet_budget(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_methods_differ_in_their_attention_alone(name: str, heads: Heads, tmp_path: Path) -> None:
    whole = RsanetExperiment(GRID, heads, tmp_path, load_rsanet_budget(name))
    cells = whole.cells()
    assert len(set(cells)) == len(cells) == len(GRID.methods) * len(whole.budget.seeds)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    seen = set()
    for cell in cells:
        (training,) = whole.plan(cell)
        told = {key: value for key, value in training.arguments.items() if key not in ("attention", "places")}
        assert told.pop("seed") == cell.seed
        seen.add((training.seen, training.unit, json.dumps(told, sort_keys=True), training.train))
    assert len(seen) == 1
    assert len({whole.plan(cell)[0].name for cell in cells}) == len(cells)


def test_a_training_is_told_what_the_bundle_asks_for(lesions: RsanetExperiment, trainer: Path) -> None:
    (training,) = lesions.plan(Cell("rsa_101", seed=1))
    record = train(training, lesions.runs, 0)
    assert record["crops_seen"] == 2 * 2 * 2
    folder = weights_of(training, lesions.runs).parent
    told = json.loads((folder / "arguments.json").read_text())
    assert (told["attention"], told["places"], told["seed"]) == ("recurrent_slice", "101", 1)
    assert told["bundle_root"].endswith("ms_lesion_segmentation")
    assert "validation_slices" not in told
    names = [Path(path).name for path in told["label_maps"]]
    assert names[: -told["validation_heads"]] == ["a.nii.gz", "b.nii.gz"]
    assert "c.nii.gz" not in names
    assert train(training, lesions.runs, 0)["seconds"] == record["seconds"]
    assert len((trainer / "calls").read_text().splitlines()) == 1


def test_a_cell_that_fails_is_named_and_is_made_when_the_driver_comes_again(
    lesions: RsanetExperiment, trainer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evaluated = []
    monkeypatch.setattr("paper.rsanet_experiment.simulate_test_patients", lambda *_: Path("patients"))
    monkeypatch.setattr(
        "paper.experiment.evaluate_cell",
        lambda cell, _, inference, *__: evaluated.append((cell.method, inference)),
    )
    cells = [Cell(name) for name in ("unet", "ncl_101", "rsa_101")]
    (trainer / "mode").write_text("ncl_101")
    assert list(run_cells(lesions, cells)) == [cells[1]]
    assert "`ncl_101-seed_0`: missing: " in page_of(lesions, tmp_path / "results")
    (trainer / "mode").write_text("none")
    assert run_cells(lesions, cells[1:2]) == {}
    assert [name for name, _ in evaluated] == ["unet", "rsa_101", "ncl_101"]
    inference = evaluated[0][1]
    assert (inference.scans, inference.references) == (Path("patients/images"), Path("patients/labels"))
    assert inference.options == {"window": [16, 32, 32]}
    assert inference.lesions.classes == ("lesion",)


def test_the_table_holds_mean_and_spread_and_who_is_better(
    lesions: RsanetExperiment, found: MakeUp, tmp_path: Path
) -> None:
    dice = {"unet": (0.60, 0.62, 0.64), "rsa_101": (0.70, 0.72, 0.74), "ncl_010": (0.61, 0.63, 0.65)}
    for method, values in dice.items():
        for seed, value in enumerate(values):
            found(Cell(method, seed=seed), value, detected=seed + 2)
    found(Cell("rsa_010", seed=0), 0.7)
    text = page_of(lesions, tmp_path / "results")
    (line,) = (line for line in text.splitlines() if line.startswith("| 3D U-Net | 0.3"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # Dice of the second case is 0: a lesion where there is none. All voxels: 2 * 3 d / 7 ml.
    assert cells[1:3] == ["0.3100 ± 0.0100", "0.5314 ± 0.0171"]
    assert cells[5:] == ["0.7500 ± 0.2500", "0.50 ± 0.00", "3"]
    assert (
        "- RSA-101 is better than 3D U-Net: 0.6171 ± 0.0171 and 0.5314 ± 0.0171; seed by seed +0.0857 ± 0.0000\n"
        in text
    )
    assert "- NCL-010 and 3D U-Net: a tie, the difference lies within the spread: " in text
    assert "- RSA-010 and 3D U-Net: too few seeds to judge the difference by: " in text
    assert text.index("## Order of the sample average") < text.index("## Order of the voxel average")
    # 3 of the 4 ml that each network marks.
    assert text.count("75 % of the voxels that it marks lie in c_001\n") == 10
    assert "- `rsa_010-seed_1`: missing: not run\n" in text
    assert "- not run yet: NCL-101; NCL-111; RSA-111\n" in text
    assert "| RSA-111 | 66.011 %" in text
    assert text.count("| RSA-111 |") == 1
    assert "| RSA-101 | 65.949 % | 71.589 % | 50.896 % | 55.847 % |" in text
    assert "- 1 of 2 cases have no lesion to find: left out of the lesion TPR\n" in text
    assert "2 epochs of 2 heads x 2 crops = 8 crops of 16 x 32 x 32 voxels (slice, y, x)" in text
    assert str(tmp_path) not in text
    with (tmp_path / "results/rsanet.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert float(rows["RSA-101"]["voxel_iou"]) == pytest.approx(
        sum(3 * d / (7 - 3 * d) for d in dice["rsa_101"]) / 3, rel=1e-5
    )
    assert "type" not in rows["RSA-101"]
    with (tmp_path / "results/rsanet_cells.csv").open() as file:
        one = next(row for row in csv.DictReader(file) if (row["method"], row["seed"]) == ("rsa_101", "2"))
    assert (one["lesion_tpr"], one["false_positives_per_case"], one["crops_seen"]) == ("1", "0.5", "8")


def test_a_result_of_another_budget_does_not_count(lesions: RsanetExperiment, found: MakeUp) -> None:
    found(Cell("unet"), 0.6)
    assert lesions.read(Cell("unet")).missing == ""
    longer = dataclasses.replace(lesions, budget=dataclasses.replace(lesions.budget, epochs=4))
    assert longer.read(Cell("unet")).missing == "not run"
    more = dataclasses.replace(lesions, budget=dataclasses.replace(lesions.budget, patients=8))
    assert more.read(Cell("unet")).missing == "not run"


def test_the_driver_tells_what_is_missing(heads: Heads, tmp_path: Path, capsys) -> None:
    folders = {"--heads": "heads", "--runs": "runs", "--output": "results"}
    places = [word for option, name in folders.items() for word in (option, str(tmp_path / name))]
    code = rsanet.main(
        ["--budget", "smoke", *places, "--only", "unet", "rsa_101", "--seeds", "0", "5", "--no-runs"]
    )
    assert code == 1
    told = capsys.readouterr()
    assert told.out.startswith("0 of 4 cells done")
    assert "rsa_101-seed_5: missing: not run" in told.err
    assert not (tmp_path / "runs").exists()
    with pytest.raises(SystemExit, match="2"):
        rsanet.main(["--budget", "smoke", *places, "--only", "seranet_3"])


def test_patients_are_made_once_and_of_the_test_heads(
    heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int]] = []

    def simulate(head: Path, output: Path, settings: LesionSettings) -> BatchResult:
        made.append((head.name, settings.count))
        for case in [f"c_{number:03d}" for number in range(1, settings.count + 1)]:
            for kind, name in [
                ("labels", case),
                *(("images", f"{case}_{c}") for c in ("T1w", "T2w", "FLAIR")),
            ]:
                (output / kind).mkdir(parents=True, exist_ok=True)
                (output / kind / f"{name}.nii.gz").write_bytes(b"volume")
        return BatchResult(["c"])

    monkeypatch.setattr(paper.patients, "simulate_lesions", simulate)
    folder = simulate_test_patients(heads, 2, tmp_path / "runs")
    assert simulate_test_patients(heads, 2, tmp_path / "runs") == folder
    assert made == [("c.nii.gz", 2)]
    (folder / "images" / "c_001_FLAIR.nii.gz").write_bytes(b"another")
    with pytest.raises(InputError, match=r"c_001_FLAIR.nii.gz: read record: expected a file of SHA-256"):
        simulate_test_patients(heads, 2, tmp_path / "runs")


def test_a_patient_that_cannot_be_made_is_named(heads: Heads, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"simulate test patients: expected patients of all test heads, received .*c.nii"
    ):
        simulate_test_patients(heads, 1, tmp_path / "runs")
