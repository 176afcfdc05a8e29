"""Small copies of the bundles, data for them, and MONAI's commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kseg.pipelines.bundle_folder import find_bundle
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines

BUNDLES = sorted(
    path.parent.name for path in find_bundle("brain_kspace_segmentation").parent.glob("*/configs")
)
AFFINE = np.array([[-1.0, 0.1, 0, 9], [0.1, 1, 0, -7], [0, 0, 3, 5], [0, 0, 0, 1]])

MonaiCommand = Callable[..., subprocess.CompletedProcess[str]]
SaveKSpace = Callable[..., Path]


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the small brain bundle that the test may change."""
    return shutil.copytree(tiny_bundle, tmp_path / tiny_bundle.name)


@pytest.fixture(params=BUNDLES)
def any_bundle(request: pytest.FixtureRequest, small_bundle: Callable[[str], Path]) -> Path:
    """The small copy of each bundle in turn, for tests that only read it."""
    return small_bundle(request.param)


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
def save_contrasts(tmp_path: Path) -> Callable[[str], Path]:
    """Write three images of noise on an oblique grid below the folder `images`; gives the first."""

    def save(name: str) -> Path:
        generator = np.random.default_rng(0)
        paths = [tmp_path / "images" / f"{name}_{contrast}.nii.gz" for contrast in ("T1w", "T2w", "FLAIR")]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, generator.random((24, 20, 5), np.float32), AFFINE)
        return paths[0]

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
