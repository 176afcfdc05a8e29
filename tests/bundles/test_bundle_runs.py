"""Every configuration of every bundle, run as a user runs it: in a folder that has nothing to do with the bundle."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from kseg.networks.warm_start import load_weights
from kseg.pipelines.bundle import build_network

LAYERS = {
    "train": ["train"],
    "multi_gpu_train": ["train", "multi_gpu_train"],
    "evaluate": ["train", "evaluate"],
    "multi_gpu_evaluate": ["train", "evaluate", "multi_gpu_evaluate"],
    "inference": ["inference"],
}
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")

Options = dict[str, Path | int | str | list[int]]


@pytest.fixture
def data(request: pytest.FixtureRequest, any_bundle: Path) -> Callable[[str], Options]:
    """Gives, for a kind of workflow, small data of the bundle and what makes the workflow small."""

    def options(kind: str) -> Options:
        if any_bundle.name == "brain_kspace_segmentation":
            if kind == "inference":
                return {"dataset_dir": request.getfixturevalue("save_kspace")("site/a.h5").parents[1]}
            small: Options = {"slices": [23, 29], "validation_slices": [26, 32], "validation_heads": 1}
            return {"dataset_dir": request.getfixturevalue("heads"), **small, "batch_size": 1}
        if any_bundle.name == "ms_lesion_segmentation":
            if kind == "inference":
                return {"dataset_dir": request.getfixturevalue("save_contrasts")("site/a").parents[1]}
            small = {
                "crop": [8, 32, 32],
                "window": [8, 128, 128],
                "validation_heads": 1,
                "validation_patients": 2,
            }
            return {"dataset_dir": request.getfixturevalue("heads"), **small, "batch_size": 1}
        pytest.fail(f"expected small data for the bundle {any_bundle.name}, received none")

    return options


def files(bundle: Path, kind: str) -> list[str]:
    return [str(bundle / "configs" / f"{name}.json") for name in LAYERS[kind]]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("kind", LAYERS)
def test_it_runs_from_anywhere_and_leaves_the_bundle_as_it_was(
    any_bundle: Path, kind: str, data: Callable[[str], Options], monai, tmp_path: Path
) -> None:
    before, output = contents(any_bundle), tmp_path / "output"
    where: Options = {"bundle_root": any_bundle, "output_dir": output}
    training: Options = {"epochs": 1, "precision": "float32", "num_workers": 0} if kind != "inference" else {}
    options = [word for item in (where | data(kind) | training).items() for word in (f"--{item[0]}", item[1])]
    launcher = TWO if kind.startswith("multi_gpu") else ()
    ended = monai("run", "--config_file", str(files(any_bundle, kind)), *options, launcher=launcher)
    assert ended.returncode == 0, ended.stdout
    assert contents(any_bundle) == before
    if kind.endswith("train"):
        network = build_network(str(any_bundle))
        load_weights(network, output / "model.pt")
        shipped = torch.load(any_bundle / "models" / "model.pt")
        assert not all(torch.equal(value, shipped[name]) for name, value in network.state_dict().items())
    elif kind == "inference":
        assert contents(output)
    else:
        assert not output.exists()


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("kind", ["train", "evaluate", "inference"])
def test_it_has_the_properties_that_monai_asks_for(
    any_bundle: Path,
    kind: str,
    data: Callable[[str], Options],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    workflow = ConfigWorkflow(
        files(any_bundle, kind),
        workflow_type="inference" if kind == "inference" else "train",
        logging_file=False,
        bundle_root=str(any_bundle),
        output_dir=str(tmp_path / "output"),
        **{name: str(value) if isinstance(value, Path) else value for name, value in data(kind).items()},
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_weights_that_are_elsewhere_are_not_replaced_by_random_ones(
    any_bundle: Path, data: Callable[[str], Options], monai, tmp_path: Path
) -> None:
    folders = ("--dataset_dir", data("inference")["dataset_dir"], "--output_dir", tmp_path / "output")
    ended = monai("run", "--config_file", files(any_bundle, "inference")[0], *folders)
    assert ended.returncode != 0
    assert "models/model.pt: load weights: expected a file, received No such file" in ended.stdout
    assert not (tmp_path / "output").exists()
