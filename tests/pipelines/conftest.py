"""Heads that are small enough to be made for a test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.nifti import write_nifti

# FreeSurfer and CHARM codes from the outside in; semi-axes of the ellipsoid along (x, y, z), millimetres.
_SHELLS = {
    511: (84, 102, 90),
    515: (79, 97, 85),
    24: (73, 91, 79),
    3: (66, 84, 72),
    2: (50, 66, 54),
    4: (16, 30, 14),
}


@pytest.fixture(scope="session")
def small_heads(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Label maps of two heads made of ellipsoids, 3 mm."""
    folder = tmp_path_factory.mktemp("heads")
    spacing_mm, paths = 3.0, []
    for index, scale in enumerate((1.0, 0.93)):
        axes = [(np.arange(n) - (n - 1) / 2) * spacing_mm / scale for n in (60, 72, 64)]
        x, y, z = np.meshgrid(*axes, indexing="ij")
        labels = np.zeros(x.shape, dtype=np.float32)
        for code, (a, b, c) in _SHELLS.items():
            labels[((x + 0.03 * y) / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1] = code
        paths.append(folder / f"head_{index + 1}.nii.gz")
        write_nifti(paths[-1], labels, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    return paths


@pytest.fixture(scope="session")
def save_head() -> Callable[..., Path]:
    """Writes the label map of a head that fills `small_grid`, 1 mm; turned or mirrored, it is another."""

    def save(path: Path, radius: float = 1.0, codes: tuple[int, int, int] = (24, 3, 2)) -> Path:
        x, y, z = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (32, 40, 24)), indexing="ij")
        labels = np.zeros(x.shape, np.uint8)
        for code, scale in zip(codes, (1.0, 0.85, 0.65), strict=True):
            inside = (x / 14) ** 2 + (y / 18) ** 2 + (z / 11) ** 2 < (radius * scale) ** 2
            labels[inside] = code
        labels[((x - 5) / 5) ** 2 + ((y - 6) / 7) ** 2 + ((z + 3) / 5) ** 2 < radius] = codes[0]
        affine = np.diag([-1.0, 1.0, 1.0, 1.0])
        affine[:3, 3] = 12, -30, 7
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, labels, affine)
        return path

    return save


@pytest.fixture(scope="session")
def small_grid() -> AcquisitionGrid:
    """A grid for the heads of `save_head`."""
    return AcquisitionGrid(shape=(8, 40, 32), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=2.0)
