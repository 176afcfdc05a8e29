"""MONAI's tools on the brain bundle: verification and export."""

import shutil
import warnings
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor

from kseg.pipelines.bundle import load_bundle
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.simulate import SimulationSettings, simulate_scan
from kseg.transforms.channels import network_input
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.phantom import make_phantom

pytestmark = pytest.mark.usefixtures("seeded")

AXES = {0: "batch", 2: "y", 3: "x"}
DYNAMIC = {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": {"image": AXES, "pred": AXES}}
SIZES = [(1, 20, 24), (3, 15, 18), (2, 216, 180)]


def network_files(bundle: Path) -> list[str | Path]:
    configs = bundle / "configs"
    return ["--meta_file", configs / "metadata.json", "--config_file", configs / "inference.json"]


def scan(n_slices: int, n_y: int, n_x: int) -> Tensor:
    """Network input as noise, every third line not sampled."""
    generator = torch.Generator().manual_seed(0)
    channels = torch.randn(n_slices, 3, n_y, n_x, generator=generator)
    channels[:, 2] = (torch.arange(n_x) % 3 > 0).float()
    return channels


def expected(bundle: Path, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return load_bundle(str(bundle)).network(x)


def test_verify_metadata(shared_bundle: Path, monai, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    shutil.copy(Path(__file__).with_name("meta_schema_20240725.json"), schema)
    files = ("--meta_file", shared_bundle / "configs" / "metadata.json", "--filepath", schema)
    ended = monai("verify_metadata", *files)
    assert ended.returncode == 0, ended.stdout
    assert "metadata is verified with no error" in ended.stdout


@pytest.mark.parametrize("size", ["1", "37"])
def test_verify_net_in_out(shared_bundle: Path, monai, size: str) -> None:
    ended = monai("verify_net_in_out", "network_def", *network_files(shared_bundle), "--any", size)
    assert ended.returncode == 0, ended.stdout
    assert "data shape of network is verified with no error" in ended.stdout


def test_exported_torchscript_is_eager(shared_bundle: Path, monai, tmp_path: Path) -> None:
    weights = shared_bundle / "models" / "model.pt"
    files = ("--filepath", tmp_path / "model.ts", "--ckpt_file", weights)
    ended = monai("ckpt_export", "network_def", *files, *network_files(shared_bundle))
    assert ended.returncode == 0, ended.stdout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.load(tmp_path / "model.ts")
    for size in SIZES:
        x = scan(*size)
        torch.testing.assert_close(scripted(x), expected(shared_bundle, x), rtol=0, atol=1e-4)


def export_onnx(bundle: Path, monai, path: Path) -> onnxruntime.InferenceSession:
    weights = bundle / "models" / "model.pt"
    files = ("--filepath", path, "--ckpt_file", weights, "--bundle_root", bundle)
    shape = ("--input_shape", "[2,3,32,24]", "--converter_kwargs", str(DYNAMIC))
    ended = monai("onnx_export", "network_def", *files, *network_files(bundle), *shape)
    assert ended.returncode == 0, ended.stdout
    return onnxruntime.InferenceSession(path)


def assert_eager(session: onnxruntime.InferenceSession, bundle: Path, x: Tensor) -> None:
    received = torch.from_numpy(session.run(["pred"], {"image": x.numpy()})[0])
    torch.testing.assert_close(received, expected(bundle, x), rtol=0, atol=1e-4)


def test_exported_onnx_is_eager_at_any_size(shared_bundle: Path, monai, tmp_path: Path) -> None:
    session = export_onnx(shared_bundle, monai, tmp_path / "model.onnx")
    for size in SIZES:
        assert_eager(session, shared_bundle, scan(*size))


def test_exported_onnx_of_the_shipped_weights_is_eager_on_a_head(monai, tmp_path: Path) -> None:
    bundle = find_bundle("brain_kspace_segmentation")
    volume = simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()).volume
    session = export_onnx(bundle, monai, tmp_path / "model.onnx")
    assert_eager(session, bundle, network_input(volume.kspace[12:52:8], volume.mask))
