"""Budgets as they ship, and those that cannot be used."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from paper.budget import load_budget, split_heads

from kseg.transforms.errors import InputError


def test_the_gpu_budget_is_the_papers() -> None:
    budget = load_budget("gpu")
    assert (budget.epochs, budget.batch_size, budget.learning_rate) == (50, 12, 1e-4)
    assert round(budget.halve_after * budget.epochs) == 20
    assert budget.slices == tuple(range(57))
    assert (budget.reconstruction_sizes["n_filters"], budget.sizes["unet_channels"]) == (
        64,
        [64, 128, 256, 512],
    )
    assert budget.test_heads == 3


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_every_budget_holds_both_tables_and_both_types(name: str) -> None:
    budget = load_budget(name)
    assert budget.name == name
    assert budget.noises == (0.1, 0.2)
    assert budget.blocks == ("cascade", "autoencoder")
    assert budget.n_blocks in budget.figure6_blocks
    assert budget.fraction == 0.3
    assert len(budget.seeds) >= (1 if name == "smoke" else 3)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("epochs: 3\n", "the keys batch_size, .*received .'epochs'."),
        ("- 1\n", "the keys .* received list"),
        ("a: [\n", "expected YAML"),
    ],
)
def test_a_budget_that_is_none_is_refused(tmp_path: Path, text: str, received: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=received):
        load_budget(str(path))


@pytest.mark.parametrize(
    ("old", "new", "received"),
    [
        ("seeds: [0]", "seeds: []", r"seeds: .*minItems: 1.*, received \[\] \("),
        ("noises: [0.1, 0.2]", "noises: 0.1", "noises: .*type: array.*, received 0.1 "),
        ("blocks: [cascade, autoencoder]", "blocks: [convolution]", "blocks: .*enum: .cascade, autoencoder"),
        ("epochs: 4", "epochs: '4'", "epochs: .type: integer, minimum: 1., received 4 .'4' is not of type"),
        ("slices: [24]", "slices: [57]", "slices: .*maximum: 56.*, received .57. "),
        ("test_heads: 1", "test_heads: 0", "test_heads: .*minimum: 1., received 0 "),
        ("fraction: 0.3", "fraction: 3", "fraction: .*maximum: 1., received 3 "),
        ("compile: false", "compile: 1", "compile: .type: boolean., received 1 "),
    ],
)
def test_values_that_make_no_experiment_are_refused(
    tmp_path: Path, old: str, new: str, received: str
) -> None:
    text = (Path(load_budget.__code__.co_filename).parent / "budgets/smoke.yaml").read_text()
    assert old in text
    (tmp_path / "own.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=received):
        load_budget(str(tmp_path / "own.yaml"))


def test_the_long_budget_shows_thirty_times_as_many_slices_of_the_same_experiment() -> None:
    long, short = load_budget("cpu_long"), load_budget("cpu")
    assert round(long.epochs * len(long.slices) / (short.epochs * len(short.slices))) == 30
    assert (long.noises, long.fraction, long.n_blocks) == (short.noises, short.fraction, short.n_blocks)


def test_a_missing_budget_is_named() -> None:
    with pytest.raises(InputError, match="nothing_such: read budget: expected a file"):
        load_budget("nothing_such")


def test_the_last_heads_by_name_are_for_the_test(tmp_path: Path) -> None:
    for name in ("c.nii.gz", "a.nii.gz", "b.nii", "d.nii.gz", "notes.nii.txt"):
        (tmp_path / name).touch()
    budget = load_budget("smoke")
    heads = split_heads(tmp_path, dataclasses.replace(budget, train_heads=None))
    assert [path.name for path in heads.train] == ["a.nii.gz", "b.nii", "c.nii.gz"]
    assert [path.name for path in heads.test] == ["d.nii.gz"]
    assert [path.name for path in split_heads(tmp_path, budget).train] == ["a.nii.gz", "b.nii"]
    assert heads.contents(heads.test) == [("d.nii.gz", hashlib.sha256(b"").hexdigest())]


def test_too_few_heads_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    with pytest.raises(InputError, match="expected at least 3 label maps, received 1"):
        split_heads(tmp_path, load_budget("smoke"))
