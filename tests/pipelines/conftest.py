"""Heads that are small enough to be made for a test."""

from pathlib import Path

import numpy as np
import pytest

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
