"""Heads that are small enough to be made for a test."""

import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.pipelines.bundle import load_network
from kseg.pipelines.bundle_check import STAGE, check_bundle
from kseg.pipelines.command import main
from kseg.transforms.errors import InputError
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines

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


HOSTILE_TASK = """
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kseg.transforms.atomic import atomic_path


@dataclass(frozen=True)
class Hostile:
    folder: Path
    stage: str = "test"
    broken: str = ""

    def start(self):
        if self.broken == "refuses":
            raise ValueError("weights: expected some, received none")
        if self.broken == "fails":
            raise KeyError("two\\nlines")
        if self.broken == "dies":
            os._exit(7)
        with (self.folder / "started").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        return self.work

    def work(self, item):
        case = item.case
        if case.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if case.startswith("exits"):
            os._exit(3)
        if case.startswith("hangs"):
            with atomic_path(self.folder / "half.txt") as temporary:
                temporary.touch()
                time.sleep(60)
        if case.startswith("bad"):
            raise ValueError("expected good, received bad")
        return {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "torch": "torch" in sys.modules}
"""


@pytest.fixture
def hostile_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module `hostile_task`, here and in the processes that are started, whose items kill, hang and fail."""
    (tmp_path / "hostile_task.py").write_text(HOSTILE_TASK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    yield
    sys.modules.pop("hostile_task", None)


OBLIQUE = np.array([[-0.9, 0.2, 0.3, 9.7], [0.2, 0.95, -0.4, -7.1], [0.1, -0.1, 3.1, 5.3], [0, 0, 0, 1]])


@pytest.fixture(scope="session")
def save_kspace() -> Callable[..., Path]:
    """Writes three small slices of k-space, half of their lines unless a mask is given, on an oblique grid."""

    def save(path: Path, mask: Tensor | None = None) -> Path:
        generator = torch.Generator().manual_seed(0)
        mask = gaussian_lines(18, 9, 4, generator) if mask is None else mask
        kspace = torch.randn(3, 1, 20, 18, dtype=torch.complex64, generator=generator) * mask
        path.parent.mkdir(parents=True, exist_ok=True)
        write_kspace(path, KSpaceVolume(kspace, mask, OBLIQUE, sigma=None, seed=None, subject="s"))
        return path

    return save


@pytest.fixture(scope="session")
def require_refused() -> Callable[[Path, str, Path], None]:
    """Checks that a bundle is refused, for a reason among others, and that what it would leave is not there."""

    def check(bundle: Path, message: str, trace: Path) -> None:
        lines = [str(finding) for finding in check_bundle(bundle)]
        assert [line for line in lines if re.search(message, line)] != [], lines
        assert all(line.isprintable() and f": {STAGE}: expected " in line for line in lines)
        with pytest.raises(
            InputError, match=f": {STAGE}: expected .*; --trust takes the bundle all the same"
        ):
            load_network(str(bundle))
        assert not trace.exists()

    return check


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """Run `kseg` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    logger, handler = logging.getLogger("kseg"), signal.getsignal(signal.SIGTERM)
    level = logger.level

    def run_main(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["kseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, shown.out, shown.err)

    yield run_main
    logger.setLevel(level)
    signal.signal(signal.SIGTERM, handler)
