"""The compared methods, each trained by its configuration as a user starts it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import ifft2c
from kseg.transforms.tissues import load_tissue_table

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

BRAIN = ("csf", "gm", "wm")

Train = Callable[..., dict[str, Tensor]]


@pytest.fixture
def train(bundle: Path, heads: Path, monai, tmp_path: Path) -> Train:
    """Train a method, A+B for B over A, with options as on the command line; gives the weights, which are kept."""

    def run(method: str, *options: str, folder: str = "", metric: str = "volume_dice") -> dict[str, Tensor]:
        output = tmp_path / (folder or method)
        names = ("train", *(f"methods/{name}" for name in method.split("+")))
        configs = [str(bundle / "configs" / f"{name}.json") for name in names]
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
    encodes = any("encoder" in name for name in joint if name.startswith("reconstruction"))
    assert encodes == (block == "autoencoder")
    method = "seranet" if block == "cascade" else "seranet+deep_supervision"
    recurrent = train(method, "--block", block, "--n_recurrences", "1", folder="recurrent")
    assert parts_of(recurrent) == parts_of(joint) | {"attention"}


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


def items(
    bundle: Path, heads: Path, method: str, item: tuple[int, int] = (0, 26), **options: object
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """An item of training and one of validation as a method's configuration makes it."""
    parser = ConfigParser()
    parser.read_config([bundle / "configs" / name for name in ("train.json", f"methods/{method}.json")])
    parser.update({"bundle_root": str(bundle), "dataset_dir": str(heads), "validation_heads": 1, **options})
    training, validation = (parser.get_parsed_content(f"{name}#dataset") for name in ("train", "validate"))
    return training[item], validation[0, 6]


@pytest.mark.usefixtures("own_search_path")
def test_noise_and_lines_are_those_of_the_named_keys(bundle: Path, heads: Path) -> None:
    clean = {"noise": [0.0, 0.0], "validation_noise": 0.0}
    for item in items(bundle, heads, "fully_sampled", fields=["image", "reference"], **clean):
        assert item["image"][2].all()
        image = complex_to_channels(ifft2c(channels_to_complex(item["image"][None, :2])))[0]
        torch.testing.assert_close(image, item["reference"], rtol=1e-4, atol=1e-5)
    for item in items(bundle, heads, "joint", fraction=0.2, other_probability=0.0):
        assert item["image"][2, 0].sum() == 36
    training, validation = items(bundle, heads, "joint", other_fractions=[0.5, 0.5], other_probability=1.0)
    assert (training["image"][2, 0].sum(), validation["image"][2, 0].sum()) == (90, 54)
    assert set(training) == {"image", "label", "subject"}


@pytest.mark.usefixtures("own_search_path")
def test_without_augmentation_two_epochs_differ_by_their_scan_alone(bundle: Path, heads: Path) -> None:
    moves = ("velocity_sd_mm", "rotation_deg", "scaling", "flip_probability", "slice_jitter", "shear")
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "train.json")
    parser.update({"dataset_dir": str(heads), "validation_heads": 1})
    moving = parser.get_parsed_content("train#dataset")
    assert not torch.equal(moving[0, 30]["label"], moving[1, 30]["label"])
    parser.update(dict.fromkeys(moves, 0.0))
    still = parser.get_parsed_content("train#dataset")
    assert torch.equal(still[0, 30]["label"], still[1, 30]["label"])
    assert not torch.equal(still[0, 30]["image"], still[1, 30]["image"])


def test_a_curriculum_that_was_interrupted_ends_where_it_would_have(train: Train, tmp_path: Path) -> None:
    options = ("--n_recurrences", "0", "--slices", "[26]", "--curriculum_epochs", "2")
    whole = train("curriculum", *options, "--epochs", "2", folder="whole")
    train("curriculum", *options, "--epochs", "1", folder="parts")
    parts = train("curriculum", *options, "--epochs", "2", folder="parts")
    last, other = (torch.load(tmp_path / name / "resume.pt")["network"] for name in ("whole", "parts"))
    assert all(torch.equal(last[name], other[name]) for name in last)
    assert whole.keys() == parts.keys() == last.keys()
    # The wrong twin: without a curriculum the same training sees fewer lines.
    train("joint", *options[2:4], "--epochs", "2", folder="plain")
    plain = torch.load(tmp_path / "plain" / "resume.pt")["network"]
    assert not all(torch.equal(plain[name], last[name]) for name in last)


@pytest.mark.usefixtures("own_search_path")
def test_the_curriculum_lasts_for_half_of_the_training_and_leaves_validation_alone(
    bundle: Path, heads: Path
) -> None:
    for epoch, n_lines in ((0, 178), (1, 98), (2, 54), (3, 54)):
        training, validation = items(
            bundle, heads, "curriculum", item=(epoch, 26), epochs=4, other_probability=0.0
        )
        assert (training["image"][2, 0].sum(), validation["image"][2, 0].sum()) == (n_lines, 54)


@pytest.mark.usefixtures("own_search_path")
def test_contrasts_are_those_of_t2_pd_and_t1_weighted_scans(bundle: Path, heads: Path) -> None:
    parser = ConfigParser()
    parser.read_config([bundle / "configs" / name for name in ("train.json", "methods/contrasts.json")])
    where = {"bundle_root": str(bundle), "dataset_dir": str(heads), "validation_heads": 1}
    parser.update(where)
    table = load_tissue_table("1.5T")
    t2w, pdw, t1w, inverted = (
        [
            scan.draw(torch.Generator().manual_seed(seed)).signal([table[name] for name in BRAIN]).tolist()
            for seed in range(50)
        ]
        for scan in parser.get_parsed_content("scans")
    )
    assert all(csf > gm > wm for csf, gm, wm in t2w)
    assert all(gm > wm and gm > csf / 1.5 for csf, gm, wm in pdw)
    assert all(wm > gm > csf > 0 for csf, gm, wm in t1w)
    assert all(wm > gm > csf < 0 for csf, gm, wm in inverted)
    datasets = [parser.get_parsed_content(f"{name}#dataset") for name in ("train", "validate")]
    transforms = [each.transform.transforms[1] for each in datasets]
    assert [len(each.scans) for each in transforms] == [4, 4]


def test_one_network_trains_on_several_contrasts(train: Train) -> None:
    assert parts_of(train("seranet+contrasts", "--n_recurrences", "1")) == {
        "reconstruction",
        "segmenter",
        "attention",
    }


def test_a_network_with_neighbours_trains_and_segments_volumes(
    train: Train, bundle: Path, save_kspace, tmp_path: Path
) -> None:
    weights = train("seranet+neighbours", "--n_recurrences", "1", "--slices", "[0,26]")
    assert weights["segmenter.encoder.levels.0.0.weight"].shape[1] == 2 + 4
    assert weights["attention.block.correction.0.weight"].shape[1] == 2 * 4 + 4
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"]["n_neighbours"] = 1
    config.write_text(json.dumps(content))
    torch.save(weights, bundle / "models" / "model.pt")
    seal_bundle(bundle)
    volume = save_kspace("a.h5", n_slices=3)
    assert segment(volume.parent, tmp_path / "out", str(bundle), SegmentSettings()).exit_code == 0
    assert np.asarray(nibabel.load(tmp_path / "out" / "a_seg.nii.gz").dataobj).shape == (24, 20, 3)
