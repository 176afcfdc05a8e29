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

AXES = {0: "batch", 2: "y", 3: "x"}
DYNAMIC = {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": {"image": AXES, "pred": AXES}}
NAMES = [("inputs", "image"), ("outputs", "pred")]
SIZES = [(1, 20, 24), (3, 15, 18), (2, 216, 180)]


def network_files(bundle: Path) -> list[str | Path]:
    configs = bundle / "configs"
    return ["--meta_file", configs / "metadata.json", "--config_file", configs / "inference.json"]


def network_format(bundle: Path) -> dict[str, Any]:
    """What the metadata say of the network's input and output."""
    content: dict[str, Any] = json.loads((bundle / "configs" / "metadata.json").read_text())
    return content["network_data_format"]


def scan(bundle: Path, n_slices: int, n_y: int, n_x: int) -> Tensor:
    """Network input as noise, every third line not sampled; the last channel is the mask."""
    n_channels = network_format(bundle)["inputs"]["image"]["num_channels"]
    channels = torch.randn(n_slices, n_channels, n_y, n_x, generator=torch.Generator().manual_seed(0))
    channels[:, -1] = (torch.arange(n_x) % 3 > 0).float()
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


@pytest.mark.parametrize("size", SIZES)
def test_the_network_is_what_the_metadata_say(any_bundle: Path, size: tuple[int, int, int]) -> None:
    # MONAI's own check looks at the number of channels and the type alone.
    image, pred = (network_format(any_bundle)[part][name] for part, name in NAMES)
    received = expected(any_bundle, scan(any_bundle, *size))
    assert received.shape == (size[0], pred["num_channels"], *size[1:])
    assert str(received.dtype) == f"torch.{pred['dtype']}"
    assert image["spatial_shape"] == pred["spatial_shape"] == ["*", "*"]
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
    for size in SIZES:
        x = scan(any_bundle, *size)
        torch.testing.assert_close(scripted(x), expected(any_bundle, x), rtol=0, atol=1e-4)


def export_onnx(bundle: Path, monai, path: Path) -> onnxruntime.InferenceSession:
    weights = bundle / "models" / "model.pt"
    files = ("--filepath", path, "--ckpt_file", weights, "--bundle_root", bundle)
    shape = ("--input_shape", str(list(scan(bundle, 2, 32, 24).shape)), "--converter_kwargs", str(DYNAMIC))
    ended = monai("onnx_export", "network_def", *files, *network_files(bundle), *shape)
    assert ended.returncode == 0, ended.stdout
    return onnxruntime.InferenceSession(path)


def assert_eager(session: onnxruntime.InferenceSession, bundle: Path, x: Tensor) -> None:
    received = torch.from_numpy(session.run(["pred"], {"image": x.numpy()})[0])
    torch.testing.assert_close(received, expected(bundle, x), rtol=0, atol=1e-4)


def test_exported_onnx_is_eager_at_any_size(any_bundle: Path, monai, tmp_path: Path) -> None:
    session = export_onnx(any_bundle, monai, tmp_path / "model.onnx")
    for size in SIZES:
        assert_eager(session, any_bundle, scan(any_bundle, *size))


def test_exported_onnx_of_the_shipped_weights_is_eager_on_a_head(monai, tmp_path: Path) -> None:
    bundle = find_bundle("brain_kspace_segmentation")
    volume = simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()).volume
    session = export_onnx(bundle, monai, tmp_path / "model.onnx")
    assert_eager(session, bundle, network_input(volume.kspace[12:52:8], volume.mask))
