"""The boundary loss as a layer of configuration over a training."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.losses import DeepSupervisionLoss

from kseg.networks.boundary_loss import RegionAndBoundaryLoss
from kseg.pipelines.boundary_schedule import BoundarySchedule

LAYERS = ("train", "methods/seranet", "methods/deep_supervision", "methods/boundary_loss")


def files(bundle: Path, names: tuple[str, ...] = LAYERS) -> list[str]:
    return [str(bundle / "configs" / f"{name}.json") for name in names]


@pytest.mark.usefixtures("own_search_path", "seeded")
@pytest.mark.parametrize("deep", [True, False])
def test_the_schedule_sets_the_weight_of_the_loss_that_is_trained(
    bundle: Path, heads: Path, deep: bool, tmp_path: Path
) -> None:
    parser = ConfigParser()
    parser.read_config(files(bundle, LAYERS if deep else (*LAYERS[:2], LAYERS[3])))
    where = {"dataset_dir": str(heads), "output_dir": str(tmp_path), "bundle_root": str(bundle)}
    parser.update({**where, "validation_heads": 1, "boundary_step": 0.2})
    trained = parser.get_parsed_content("loss")
    assert isinstance(trained, DeepSupervisionLoss) == deep
    loss = trained.loss if deep else trained
    assert isinstance(loss, RegionAndBoundaryLoss)
    (schedule,) = (
        each for each in parser.get_parsed_content("train#handlers") if isinstance(each, BoundarySchedule)
    )
    assert schedule.loss is loss
    assert (schedule.first, schedule.step, schedule.last) == (0.0, 0.2, 0.99)


def test_it_trains_as_a_user_starts_it(bundle: Path, heads: Path, monai, tmp_path: Path) -> None:
    sizes = "{'n_filters': 4, 'unet_channels': [4, 8]}"
    options = ("--n_recurrences", "1", "--sizes", sizes, "--boundary_first", "0.5", "--boundary_step", "0.4")
    small = (
        "--slices",
        "[26]",
        "--validation_slices",
        "[26]",
        "--validation_heads",
        "1",
        "--num_workers",
        "0",
    )
    where = ("--bundle_root", bundle, "--dataset_dir", heads, "--output_dir", tmp_path / "run")
    run = ("--epochs", "2", "--batch_size", "1", "--precision", "float32", "--device", "cpu")
    ended = monai("run", "--config_file", str(files(bundle)), *where, *small, *run, *options)
    assert ended.returncode == 0, ended.stdout
    weights = torch.load(tmp_path / "run" / "model.pt")
    assert all(value.isfinite().all() for value in weights.values())
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(lines) == 3
