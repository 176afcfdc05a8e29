"""MONAI's tools on each bundle: verification and export."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

from kseg.pipelines.bundle import load_network
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.simulate import SimulationSettings, simulate_scan
from kseg.transforms.channels import network_input
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.phantom import make_phantom

pytestmark = pytest.mark.usefixtures("seeded")

NAMES = [("inputs", "image"), ("outputs", "pred")]
# Batches of the smallest kind, of odd sizes and of the usual ones, by the number of spatial axes.
SIZES = {
    2: [(1, 20, 24), (3, 15, 18), (2, 216, 180)],
    3: [(1, 5, 20, 24), (3, 7, 15, 18), (1, 24, 96, 128)],
}


def network_files(bundle: Path) -> list[str | Path]:
    configs = bundle / "configs"
    return ["--meta_file", configs / "metadata.json", "--config_file", configs / "inference.json"]


def network_format(bundle: Path) -> dict[str, Any]:
    """What the metadata say of the network's input and output."""
    content: dict[str, Any] = json.loads((bundle / "configs" / "metadata.json").read_text())
    return content["network_data_format"]


def sizes(bundle: Path) -> list[tuple[int, ...]]:
    return SIZES[len(network_format(bundle)["inputs"]["image"]["spatial_shape"])]


def noise(bundle: Path, size: tuple[int, ...]) -> Tensor:
    """Network input as noise; of k-space every third line is not sampled, which the last channel, its mask, says."""
    image = network_format(bundle)["inputs"]["image"]
    shape = (size[0], image["num_channels"], *size[1:])
    channels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if image["format"] == "kspace":
        channels[:, -1] = (torch.arange(size[-1]) % 3 > 0).float()
    return channels


def expected(bundle: Path, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return load_network(str(bundle))(x)


def test_verify_metadata(any_bundle: Path, monai, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    shutil.copy(Path(__file__).with_name("meta_schema_20240725.json"), schema)
    files = ("--meta_file", any_bundle / "configs" / "metadata.json", "--filepath", schema)
    ended = monai("verify_metadata", *files)
    assert ended.returncode == 0, ended.stdout
    assert "metadata is verified with no error" in ended.stdout


@pytest.mark.parametrize("size", ["1", "37"])
def test_verify_net_in_out(any_bundle: Path, monai, size: str) -> None:
    ended = monai("verify_net_in_out", "network_def", *network_files(any_bundle), "--any", size)
    assert ended.returncode == 0, ended.stdout
    assert "data shape of network is verified with no error" in ended.stdout


def test_the_network_is_what_the_metadata_say(any_bundle: Path) -> None:
    # MONAI's own check looks at the number of channels and the type alone.
    image, pred = (network_format(any_bundle)[part][name] for part, name in NAMES)
    for size in sizes(any_bundle):
        received = expected(any_bundle, noise(any_bundle, size))
        assert received.shape == (size[0], pred["num_channels"], *size[1:])
        assert str(received.dtype) == f"torch.{pred['dtype']}"
    assert image["spatial_shape"] == pred["spatial_shape"] == ["*"] * (len(size) - 1)
    for tensor in (image, pred):
        assert list(tensor["channel_def"]) == [str(channel) for channel in range(tensor["num_channels"])]


def test_exported_torchscript_is_eager(any_bundle: Path, monai, tmp_path: Path) -> None:
    weights = any_bundle / "models" / "model.pt"
    files = ("--filepath", tmp_path / "model.ts", "--ckpt_file", weights)
    ended = monai("ckpt_export", "network_def", *files, *network_files(any_bundle))
    assert ended.returncode == 0, ended.stdout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.load(tmp_path / "model.ts")
    for size in sizes(any_bundle):
        x = noise(any_bundle, size)
        torch.testing.assert_close(scripted(x), expected(any_bundle, x), rtol=0, atol=1e-4)


def export_onnx(bundle: Path, monai, path: Path) -> onnxruntime.InferenceSession:
    weights = bundle / "models" / "model.pt"
    files = ("--filepath", path, "--ckpt_file", weights, "--bundle_root", bundle)
    example = noise(bundle, (2, *sizes(bundle)[0][1:])).shape
    spatial = ("slice", "y", "x")[-(len(example) - 2) :]
    axes = {0: "batch", **dict(enumerate(spatial, start=2))}
    names = {"input_names": ["image"], "output_names": ["pred"]}
    options = {**names, "dynamic_axes": {"image": axes, "pred": axes}}
    shape = ("--input_shape", str(list(example)), "--converter_kwargs", str(options))
    ended = monai("onnx_export", "network_def", *files, *network_files(bundle), *shape)
    assert ended.returncode == 0, ended.stdout
    return onnxruntime.InferenceSession(path)


def assert_eager(session: onnxruntime.InferenceSession, bundle: Path, x: Tensor) -> None:
    received = torch.from_numpy(session.run(["pred"], {"image": x.numpy()})[0])
    torch.testing.assert_close(received, expected(bundle, x), rtol=0, atol=1e-4)


def test_exported_onnx_is_eager_at_any_size(any_bundle: Path, monai, tmp_path: Path) -> None:
    session = export_onnx(any_bundle, monai, tmp_path / "model.onnx")
    for size in sizes(any_bundle):
        assert_eager(session, any_bundle, noise(any_bundle, size))


def test_exported_onnx_of_the_shipped_weights_is_eager_on_a_head(monai, tmp_path: Path) -> None:
    bundle = find_bundle("brain_kspace_segmentation")
    volume = simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()).volume
    session = export_onnx(bundle, monai, tmp_path / "model.onnx")
    assert_eager(session, bundle, network_input(volume.kspace[12:52:8], volume.mask))
