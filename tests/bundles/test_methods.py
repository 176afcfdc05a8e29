"""The compared methods, each trained by its configuration as a user starts it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

SIZES = "{'n_filters': 4, 'unet_channels': [4, 8]}"
SLICES = ("--slices", "[20,26]", "--validation_slices", "[23,28]", "--validation_heads", "1")
RUN = (
    "--epochs",
    "1",
    "--batch_size",
    "2",
    "--num_workers",
    "0",
    "--precision",
    "float32",
    "--device",
    "cpu",
)

Train = Callable[..., dict[str, Tensor]]


@pytest.fixture
def train(bundle: Path, heads: Path, monai, tmp_path: Path) -> Train:
    """Train a method with options as on the command line; gives the weights, kept in the folder of its name."""

    def run(method: str, *options: str, folder: str = "", metric: str = "volume_dice") -> dict[str, Tensor]:
        output = tmp_path / (folder or method)
        configs = [str(bundle / "configs" / name) for name in ("train.json", f"methods/{method}.json")]
        where = ("--bundle_root", bundle, "--dataset_dir", heads, "--output_dir", output)
        ended = monai("run", "--config_file", str(configs), *where, *SLICES, *RUN, "--sizes", SIZES, *options)
        assert ended.returncode == 0, ended.stdout
        with (output / "log.csv").open() as file:
            row = list(csv.DictReader(file))[-1]
        assert float(row[metric]) == float(row[metric])
        weights: dict[str, Tensor] = torch.load(output / "model.pt")
        assert all(value.isfinite().all() for value in weights.values())
        return weights

    return run


def parts_of(weights: dict[str, Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in weights}


def equal(part: str, one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    names = [name for name in one if name.startswith(f"{part}.")]
    assert names
    return all(torch.equal(one[name], other[name]) for name in names)


@pytest.mark.parametrize("method", ["zero_filling", "fully_sampled"])
def test_methods_without_reconstruction_train_the_segmenter_alone(train: Train, method: str) -> None:
    assert parts_of(train(method)) == {"segmenter"}


@pytest.mark.parametrize("block", ["cascade", "autoencoder"])
def test_joint_and_seranet_train_with_either_block(train: Train, block: str) -> None:
    joint = train("joint", "--block", block)
    assert parts_of(joint) == {"reconstruction", "segmenter"}
    assert any("encoder" in name for name in joint if name.startswith("reconstruction")) == (
        block == "autoencoder"
    )
    assert parts_of(train("seranet", "--block", block, "--n_recurrences", "1")) == parts_of(joint) | {
        "attention"
    }


def test_two_steps_share_a_reconstruction_that_the_second_leaves_alone(train: Train, tmp_path: Path) -> None:
    # The corrections start at zero: it takes a step before the convolutions in front of them learn.
    options = ("--block", "autoencoder", "--n_blocks", "2")
    first = train("reconstruction", *options, "--epochs", "2", metric="reconstruction_snr")
    start = str({"reconstruction": str(tmp_path / "reconstruction" / "model.pt")})
    second = train("two_step", *options, "--warm_start", start)
    assert equal("reconstruction", first, second)
    assert not equal("segmenter", first, second)
    # SERANet-N++ starts from both parts.
    parts = str(dict.fromkeys(("reconstruction", "segmenter"), str(tmp_path / "two_step" / "model.pt")))
    still = ("--learning_rate", "1e-30", "--n_recurrences", "1")
    third = train("seranet", *options, *still, "--warm_start", parts)
    learned = {name for name in second if "running" not in name and "num_batches" not in name}
    for name in learned:
        torch.testing.assert_close(third[name], second[name], rtol=0, atol=1e-7)


@pytest.mark.parametrize("block", ["cascade", "autoencoder"])
def test_segnetmri_is_trained_in_three_stages(train: Train, tmp_path: Path, block: str) -> None:
    options = ("--block", block, "--n_blocks", "2")
    first = train("reconstruction", *options, metric="reconstruction_snr")
    start = str({"reconstruction": str(tmp_path / "reconstruction" / "model.pt")})
    frozen = ("--frozen", "['reconstruction']", "--warm_start", start)
    second = train("segnetmri", *options, *frozen, folder="segmenters")
    assert parts_of(second) == {"reconstruction", "decoders", "merge"}
    assert equal("reconstruction", first, second)
    parts = str(dict.fromkeys(sorted(parts_of(second)), str(tmp_path / "segmenters" / "model.pt")))
    third = train("segnetmri", *options, "--warm_start", parts)
    assert not any(equal(part, second, third) for part in parts_of(second))
