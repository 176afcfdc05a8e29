"""The brain bundle trained and evaluated by two processes: one truth, one writer."""

import csv
import re
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from kseg.networks.warm_start import load_weights
from kseg.pipelines.bundle import build_network

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


SLICES = ("--slices", "[20,26,32]", "--validation_slices", "[18,23,28,33,36]", "--validation_heads", "1")


def configs(bundle: Path, *names: str) -> str:
    return str([str(bundle / "configs" / f"{name}.json") for name in names])


def evaluate_here(bundle: Path, heads: Path) -> tuple[float, dict[str, torch.Tensor]]:
    """Mean and per-volume Dice of the bundle's weights, from one process."""
    files = [str(bundle / "configs" / f"{name}.json") for name in ("train", "evaluate")]
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, bundle_root=str(bundle))
    options = {"dataset_dir": str(heads), "validation_heads": 1, "num_workers": 0}
    workflow.parser.update({**options, "validation_slices": [18, 23, 28, 33, 36]})
    workflow.initialize()
    workflow.run()
    metric = workflow.parser.get_parsed_content("validate#key_metric#volume_dice")
    return metric.compute(), metric.per_volume()


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
    mean, of_volumes = evaluate_here(bundle, heads)
    assert 0 < mean < 1
    assert max(float(row["volume_dice"]) for row in log) == pytest.approx(mean, abs=1e-5)

    three = configs(bundle, "train", "evaluate", "multi_gpu_evaluate")
    ended = monai("run", "--config_file", three, *common, launcher=TWO)
    assert ended.returncode == 0, ended.stdout
    assert re.findall(r"volume Dice (\S+)", ended.stdout) == [f"{mean:.6f}"]
    csf, gm, wm = of_volumes["b"][1:].tolist()
    assert f"b: CSF {csf:.4f}, GM {gm:.4f}, WM {wm:.4f}" in ended.stdout


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
