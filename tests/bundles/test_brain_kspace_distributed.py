"""The brain bundle trained and evaluated by two processes: one truth, one writer."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch import Tensor

from kseg.networks.warm_start import load_weights
from kseg.pipelines.bundle import build_network

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SLICES = ("--slices", "[20,26,32]", "--validation_slices", "[18,23,28,33,36]", "--validation_heads", "1")


def configs(bundle: Path, *names: str) -> str:
    return str([str(bundle / "configs" / f"{name}.json") for name in names])


def evaluate_here(bundle: Path, heads: Path, validation_heads: int) -> tuple[float, list[str]]:
    """Mean Dice of the bundle's weights from one process, and what an evaluation tells."""
    files = [str(bundle / "configs" / f"{name}.json") for name in ("train", "evaluate")]
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, bundle_root=str(bundle))
    options = {"dataset_dir": str(heads), "validation_heads": validation_heads, "num_workers": 0}
    workflow.parser.update({**options, "validation_slices": [18, 23, 28, 33, 36]})
    workflow.initialize()
    workflow.run()
    metric = workflow.parser.get_parsed_content("validate#key_metric#volume_dice")
    mean, lines = metric.compute(), []
    for subject, scores in sorted(metric.per_volume().items()):
        csf, gm, wm = scores[1:].tolist()
        lines.append(f"{subject}: CSF {csf:.4f}, GM {gm:.4f}, WM {wm:.4f}")
    return mean, [*lines, f"volume Dice {mean:.6f}"]


@pytest.mark.usefixtures("seeded", "own_search_path")
def test_two_processes_train_resume_and_evaluate_as_one(
    bundle: Path, heads: Path, monai, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    common = ("--bundle_root", bundle, "--dataset_dir", heads, "--num_workers", "0", *SLICES)
    training = ("--output_dir", run, "--batch_size", "2", "--precision", "float32")
    train = ("run", "--config_file", configs(bundle, "train", "multi_gpu_train"), *common, *training)
    for epochs in ("1", "3"):
        ended = monai(*train, "--epochs", epochs, launcher=TWO)
        assert ended.returncode == 0, ended.stdout
    with (run / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [row["epoch"] for row in log] == ["1", "2", "3"]
    assert sorted(path.name for path in run.iterdir()) == ["log.csv", "model.pt", "resume.pt", "tensorboard"]
    runs = list((run / "tensorboard").rglob("events*"))
    assert len(runs) == 2  # one of each run, none of the second process

    weights = torch.load(run / "model.pt")
    assert weights.keys() == build_network(str(bundle)).state_dict().keys()
    (run / "model.pt").replace(bundle / "models" / "model.pt")
    mean, _ = evaluate_here(bundle, heads, validation_heads=1)
    assert 0 < mean < 1
    assert max(float(row["volume_dice"]) for row in log) == pytest.approx(mean, abs=1e-5)

    # Ten slices of two volumes: each process sees slices of both.
    three = configs(bundle, "train", "evaluate", "multi_gpu_evaluate")
    ended = monai("run", "--config_file", three, *common, "--validation_heads", "2", launcher=TWO)
    assert ended.returncode == 0, ended.stdout
    told = re.findall(r"volume_dice_log: (.+)", ended.stdout)
    assert told == evaluate_here(bundle, heads, validation_heads=2)[1]


def items_of(batches: list[dict[str, Any]]) -> list[tuple[str, int, Tensor]]:
    """Subject, slice and image of each item, in their order."""
    return [
        (subject, index, image)
        for batch in batches
        for subject, index, image in zip(
            batch["subject"], batch["slice"].tolist(), batch["image"], strict=True
        )
    ]


@pytest.mark.usefixtures("seeded", "own_search_path")
def test_two_processes_share_the_items_that_one_would_see(
    bundle: Path, heads: Path, monai, tmp_path: Path
) -> None:
    # Instead of training, save what the data loader of the second epoch gives.
    seen = {
        "fields": ["image", "subject", "slice"],
        "run": [
            "$setattr(@train#sampler, 'epoch', 1)",
            "$torch.save(list(@train#dataloader), @output_dir + f'/{dist.get_rank()}.pt')",
        ],
    }
    (bundle / "configs" / "seen.json").write_text(json.dumps(seen))
    options = {"dataset_dir": str(heads), "output_dir": str(tmp_path), "bundle_root": str(bundle)}
    sizes = {"slices": [18, 24, 30, 36], "validation_heads": 1, "batch_size": 1}
    arguments = [str(word) for item in (options | sizes).items() for word in (f"--{item[0]}", item[1])]
    ended = monai(
        "run", "--config_file", configs(bundle, "train", "multi_gpu_train", "seen"), *arguments, launcher=TWO
    )
    assert ended.returncode == 0, ended.stdout
    shares = [items_of(torch.load(tmp_path / f"{rank}.pt")) for rank in range(2)]

    parser = ConfigParser()
    parser.read_config([bundle / "configs" / "train.json", bundle / "configs" / "seen.json"])
    parser.update({**options, **sizes, "num_workers": 0})
    parser.get_parsed_content("train#sampler").epoch = 1
    alone = items_of(list(parser.get_parsed_content("train#dataloader")))
    assert sorted(index for _, index, _ in alone) == sizes["slices"]
    # Each process takes every other item, and draws for it what one process draws.
    for rank, share in enumerate(shares):
        for (subject, index, image), expected in zip(share, alone[rank::2], strict=True):
            assert (subject, index) == expected[:2]
            assert torch.equal(image, expected[2])


@pytest.mark.usefixtures("seeded", "own_search_path")
def test_two_processes_train_a_reconstruction(bundle: Path, heads: Path, monai, tmp_path: Path) -> None:
    run = tmp_path / "run"
    common = ("--bundle_root", bundle, "--dataset_dir", heads, "--num_workers", "0", *SLICES)
    training = ("--output_dir", run, "--batch_size", "2", "--precision", "float32", "--epochs", "2")
    files = configs(bundle, "train", "methods/reconstruction", "multi_gpu_train")
    ended = monai("run", "--config_file", files, *common, *training, launcher=TWO)
    assert ended.returncode == 0, ended.stdout
    with (run / "log.csv").open() as file:
        log = [float(row["reconstruction_snr"]) for row in csv.DictReader(file)]
    # One process makes the same of the best weights: the ratio over all slices, not over its share of them.
    parser = ConfigParser()
    parser.read_config([bundle / "configs" / name for name in ("train.json", "methods/reconstruction.json")])
    options = {"bundle_root": str(bundle), "dataset_dir": str(heads), "num_workers": 0, "validation_heads": 1}
    parser.update({**options, "precision": "float32", "validation_slices": [18, 23, 28, 33, 36]})
    load_weights(parser.get_parsed_content("network"), run / "model.pt")
    evaluator = parser.get_parsed_content("validate#evaluator")
    evaluator.run()
    assert evaluator.state.metrics["reconstruction_snr"] == pytest.approx(max(log), abs=1e-3)
