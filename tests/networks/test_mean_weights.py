"""The mean of weights, and files that have none."""

from pathlib import Path

import pytest
import torch

from kseg.networks.mean_weights import mean_weights
from kseg.transforms.errors import InputError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.pt" for number in range(3)]
    for number, path in enumerate(paths):
        weight = torch.tensor([1.0, 10.0]) * (number + 1)
        torch.save({"weight": weight, "steps": torch.tensor(number), "half": weight.bfloat16()}, path)
    return paths


def test_weights_are_averaged_and_counters_are_the_last(files: list[Path]) -> None:
    mean = mean_weights(files)
    assert mean["weight"].tolist() == [2.0, 20.0]
    assert mean["half"].dtype == torch.bfloat16
    assert mean["half"].tolist() == [2.0, 20.0]
    assert mean["steps"].item() == 2


def test_the_mean_of_equal_weights_are_these_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    weight = torch.tensor([0.1, -1e-30, 3e30])
    torch.save({"weight": weight}, path)
    assert torch.equal(mean_weights([path] * 7)["weight"], weight)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"weight": torch.ones(3)},
            r"b.pt: average weights: expected weight of .*0.pt, shape \(2,\), received ",
        ),
        ({}, r"b.pt: average weights: expected weight of .*0.pt, shape \(2,\), received none"),
    ],
)
def test_weights_of_another_network_are_named(files: list[Path], other: dict, message: str) -> None:
    path = files[0].with_name("b.pt")
    torch.save(other, path)
    with pytest.raises(InputError, match=message):
        mean_weights([files[0], path])


def test_weights_that_the_first_file_has_not_are_named(files: list[Path]) -> None:
    path = files[0].with_name("b.pt")
    torch.save({**torch.load(files[1]), "bias": torch.ones(2)}, path)
    with pytest.raises(
        InputError, match=r"b.pt: average weights: expected bias of .*, none, received shape \(2,\)"
    ):
        mean_weights([files[0], path])


def test_without_a_file_there_is_no_mean() -> None:
    with pytest.raises(ValueError, match="average weights: expected at least one file, received none"):
        mean_weights([])
