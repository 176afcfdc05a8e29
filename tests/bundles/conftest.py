"""Bundles to try out: copies with a small network and weights of their own, and MONAI's commands on them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kseg.pipelines.bundle import build_network
from kseg.pipelines.bundle_folder import find_bundle
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines

SMALL = {"n_blocks": 1, "n_recurrences": 1, "n_filters": 4, "unet_channels": [4, 8]}
AFFINE = np.array([[-1.0, 0.1, 0, 9], [0.1, 1, 0, -7], [0, 0, 3, 5], [0, 0, 0, 1]])

MonaiCommand = Callable[..., subprocess.CompletedProcess[str]]
SaveKSpace = Callable[..., Path]


def small_bundle(folder: Path) -> Path:
    """Copy the brain bundle into a folder, with a small network of random weights that are not zero anywhere."""
    bundle = folder / "brain_kspace_segmentation"
    left_by_training = shutil.ignore_patterns("*.pt", "eval")
    shutil.copytree(find_bundle(bundle.name), bundle, ignore=left_by_training)
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"] |= SMALL
    content["flip"] = False
    config.write_text(json.dumps(content))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(str(bundle))
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    (bundle / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    return bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the brain bundle that the test may change."""
    return small_bundle(tmp_path)


@pytest.fixture(scope="module")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the brain bundle that tests only read."""
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def save_kspace(tmp_path: Path) -> SaveKSpace:
    """Write noise as under-sampled k-space of 20 x 24 voxels below the folder `kspace`."""

    def save(name: str, n_slices: int = 3, n_coils: int = 1) -> Path:
        generator = torch.Generator().manual_seed(n_slices)
        mask = gaussian_lines(24, 10, 4, generator)
        kspace = torch.randn(n_slices, n_coils, 20, 24, dtype=torch.complex64, generator=generator) * mask
        path = tmp_path / "kspace" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_kspace(path, KSpaceVolume(kspace, mask, AFFINE, sigma=None, seed=None, subject=path.stem))
        return path

    return save


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """A folder of two heads: balls of white matter, cortex, CSF and bone inside each other."""
    folder = tmp_path / "heads"
    folder.mkdir()
    axes = np.meshgrid(*[np.arange(-24, 24)] * 3, indexing="ij")
    distance_mm = 4 * np.sqrt(sum(axis**2 for axis in axes))
    for name, radius_mm in (("a", 70), ("b", 62)):
        labels = np.zeros(distance_mm.shape, np.float32)
        for code, share in ((515, 1.15), (24, 1.0), (3, 0.9), (2, 0.6)):
            labels[distance_mm < radius_mm * share] = code
        write_nifti(folder / f"{name}.nii.gz", labels, np.diag([4.0, 4.0, 4.0, 1.0]))
    return folder


@pytest.fixture
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the folders of bundles that workflows add to the search path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def monai(tmp_path: Path) -> MonaiCommand:
    """Run `python -m monai.bundle` in a folder that has nothing to do with the bundle."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments: str | Path, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *launcher, "-m", "monai.bundle", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command,
            cwd=elsewhere,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    return run
