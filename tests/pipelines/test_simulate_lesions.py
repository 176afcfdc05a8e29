"""Patients with lesions: the files that were promised, the same again, and going on where a run stopped."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from kseg.pipelines import simulate_lesions as module
from kseg.pipelines.simulate_lesions import LesionSettings, mean_lesion_fraction, simulate_lesions
from kseg.transforms.errors import InputError
from kseg.transforms.grid import GridRange, place_grid
from kseg.transforms.head import head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.lesion_model import LesionKind, LesionModel
from kseg.transforms.nifti import read_label_map, write_nifti

COARSE = GridRange((18, 60, 50), (24, 70, 60), (8.0, 3.0, 3.0), (8.0, 9.0, 9.0))
SETTINGS = LesionSettings(
    seed=3, model=LesionModel(periventricular=LesionKind(6.0, 20.0, 0.1), load_spread=0.0)
)
CONTRASTS = ("T1w", "T2w", "FLAIR")


@pytest.fixture
def heads(small_heads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two heads, and a coarse grid for them."""
    monkeypatch.setattr(module, "GridRange", lambda: COARSE)
    folder = tmp_path / "heads"
    for path, name in zip(small_heads, ("a.nii.gz", "site/b.nii.gz"), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(path.read_bytes())
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.nii.gz"))
    }


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def test_three_contrasts_and_a_mask_for_each_patient(heads: Path, tmp_path: Path):
    output = tmp_path / "out"
    result = simulate_lesions(heads, output, replace(SETTINGS, count=2))
    cases = ["a_001", "a_002", "site/b_001", "site/b_002"]
    assert (result.done, result.failed) == (cases, {})
    assert set(files(output)) == {f"images/{case}_{name}.nii.gz" for case in cases for name in CONTRASTS} | {
        f"labels/{case}.nii.gz" for case in cases
    }
    head = head_from_labels(read_label_map(heads / "a.nii.gz"), load_label_codes("freesurfer"))
    cortex = head.membership("gm") > 0
    placed = place_grid(COARSE.fit(cortex, head.spacing_mm), cortex, head.spacing_mm)
    affine = placed.affine(head.affine, head.spacing_mm).astype(np.float32)
    label = nibabel.load(output / "labels/a_001.nii.gz")
    assert label.get_data_dtype() == np.uint8
    assert set(np.unique(voxels(output / "labels/a_001.nii.gz"))) == {0, 1}
    lesion = voxels(output / "labels/a_001.nii.gz") == 1
    brightness = {}
    for name in CONTRASTS:
        image = nibabel.load(output / f"images/a_001_{name}.nii.gz")
        assert image.get_data_dtype() == np.float32
        assert image.shape == label.shape == placed.grid.shape[::-1]
        np.testing.assert_array_equal(image.affine, affine)
        np.testing.assert_array_equal(label.affine, affine)
        brightness[name] = float(np.asarray(image.dataobj)[lesion].mean())
    # The echo of FLAIR is later, and its repetition starts with an inversion.
    assert 0.05 < brightness["FLAIR"] < brightness["T2w"]
    by_case = {record["case"]: record for record in records(output)}
    assert by_case["a_001"]["lesion_fraction"] == pytest.approx(lesion.mean(), abs=1e-7)
    assert by_case["a_001"]["status"] == "ok"


def test_one_patient_has_the_name_of_its_head_and_does_not_depend_on_others(heads: Path, tmp_path: Path):
    simulate_lesions(heads, tmp_path / "all", SETTINGS)
    simulate_lesions(heads / "a.nii.gz", tmp_path / "alone", SETTINGS)
    both, alone = files(tmp_path / "all"), files(tmp_path / "alone")
    assert "labels/a.nii.gz" in alone
    assert alone == {name: content for name, content in both.items() if "site" not in name}
    simulate_lesions(heads / "a.nii.gz", tmp_path / "seed", replace(SETTINGS, seed=4))
    assert all(files(tmp_path / "seed")[name] != content for name, content in alone.items())


def test_a_run_goes_on_where_it_was(heads: Path, tmp_path: Path):
    output = tmp_path / "out"
    simulate_lesions(heads, output, replace(SETTINGS, count=2))
    before = files(output)
    (output / "images/site/b_002_T2w.nii.gz").unlink()
    (output / "labels/a_001.nii.gz").write_bytes(b"damaged")
    again = simulate_lesions(heads, output, replace(SETTINGS, count=2))
    assert (again.done, again.before) == (["a_001", "site/b_002"], ["a_002", "site/b_001"])
    assert files(output) == before
    more = simulate_lesions(heads / "a.nii.gz", output, replace(SETTINGS, count=3))
    assert (more.done, more.before) == (["a_003"], ["a_001", "a_002"])
    other = simulate_lesions(heads / "a.nii.gz", output, replace(SETTINGS, count=2, own=0.5))
    assert other.done == ["a_001", "a_002"]
    anew = simulate_lesions(heads / "a.nii.gz", output, replace(SETTINGS, count=2, own=0.5), resumed=False)
    assert anew.done == ["a_001", "a_002"]


def test_a_bad_head_costs_itself_alone(heads: Path, tmp_path: Path):
    write_nifti(heads / "bad.nii.gz", np.full((4, 4, 4), 201, np.uint8), np.eye(4))
    result = simulate_lesions(heads, tmp_path / "out", SETTINGS)
    assert result.exit_code == 1
    assert result.done == ["a", "site/b"]
    expected = "simulate lesions: label codes: expected codes of the table freesurfer, received 201"
    assert result.failed == {"bad": f"{heads / 'bad.nii.gz'}: {expected}"}


def test_an_input_is_never_replaced(heads: Path, tmp_path: Path):
    (tmp_path / "labels").mkdir()
    path = (heads / "a.nii.gz").rename(tmp_path / "labels" / "a.nii.gz")
    before = path.read_bytes()
    result = simulate_lesions(path, tmp_path, SETTINGS)
    assert "expected an output folder whose files do not replace it" in result.failed["a"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, r"^count: expected 1\.\.999 patients of every head, received 0$"),
        ({"count": 1000}, r"^count: expected 1\.\.999 patients of every head, received 1000$"),
        ({"seed": -1}, r"^seed: expected 0\.\.2\*\*63 - 1, received -1$"),
        (
            {"noise": (-0.1, 0.1)},
            r"^noise: expected a range that rises from 0 or more, received \[-0\.1, 0\.1\]$",
        ),
        (
            {"noise": (0.2, 0.1)},
            r"^noise: expected a range that rises from 0 or more, received \[0\.2, 0\.1\]$",
        ),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)


def test_impossible_shares_and_missing_heads_are_refused_before_anything_is_written(
    heads: Path, tmp_path: Path
):
    with pytest.raises(ValueError, match=r"^lesions: expected a share of heads in 0\.\.1"):
        simulate_lesions(heads, tmp_path / "out", replace(SETTINGS, own=2.0))
    with pytest.raises(InputError, match=r"nothing: find inputs: expected a file or a folder"):
        simulate_lesions(tmp_path / "nothing", tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_became_of_it(heads: Path, tmp_path: Path, run: Callable[..., Any]):
    ended = run("simulate-lesions", heads / "a.nii.gz", tmp_path / "out", "--count", "2")
    share = np.mean([voxels(path).mean() for path in (tmp_path / "out/labels").iterdir()])
    told = f"mean lesion fraction of all patients in {tmp_path / 'out'}: {share:.3g}\n"
    assert share > 0
    assert (ended.code, ended.out) == (0, f"{told}simulated: 2, failed: 0\n")
    ended = run("simulate-lesions", heads / "a.nii.gz", tmp_path / "out", "--count", "2")
    assert (ended.code, ended.out) == (0, f"{told}simulated: 0, done before: 2, failed: 0\n")
    (tmp_path / "empty").mkdir()
    ended = run("simulate-lesions", tmp_path / "empty", tmp_path / "out")
    assert ended.code == 3
    assert run("simulate-lesions", heads, tmp_path / "out", "--own", "2").code == 2


def test_without_a_patient_there_is_no_lesion_fraction(tmp_path: Path):
    others = [
        {"case": "a", "status": "failed"},
        {"case": "b", "status": "ok"},
    ]  # the second of another command
    (tmp_path / "results.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in others))
    assert mean_lesion_fraction(tmp_path) is None
    with pytest.raises(InputError, match=r"results.jsonl: read results: expected a file"):
        mean_lesion_fraction(tmp_path / "nothing")


def test_the_embedded_head_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "GridRange", lambda: COARSE)
    settings = replace(SETTINGS, model=LesionModel())
    result = simulate_lesions(Path("mni152"), tmp_path / "out", settings)
    assert result.done == ["mni152"]
    assert set(files(tmp_path / "out")) == {
        "labels/mni152.nii.gz",
        *(f"images/mni152_{name}.nii.gz" for name in CONTRASTS),
    }
    flair = torch.from_numpy(voxels(tmp_path / "out/images/mni152_FLAIR.nii.gz"))
    assert float(flair.max()) > 0.1
