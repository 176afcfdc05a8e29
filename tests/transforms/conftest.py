"""A small head for tests of scans, and a death in the middle of writing."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.transforms.brain_regions import Regions
from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_sites import Places, lesion_sites

TISSUES = ("air", "csf", "gm", "wm", "fat")
LAYERS = ("csf", "wm", "gm", "csf", "fat", "air")
EDGES = (0.2, 0.5, 0.65, 0.75, 0.85)


def layered_head(n_slices: int, n_y: int, n_x: int) -> Tensor:
    """Nested ellipsoids with soft, irregular edges: fractions `(tissue, slice, y, x)` of air, csf, gm, wm, fat."""
    z = torch.linspace(-0.5, 0.5, n_slices + 2)[1:-1, None, None]
    y = torch.linspace(-1, 1, n_y)[:, None]
    x = torch.linspace(-1, 1, n_x)
    radius = torch.sqrt(z**2 + (y / 1.1) ** 2 + (x - 0.05) ** 2) + 0.05 * torch.sin(7 * y + 4 * x) * x
    inside = [((edge - radius) * 12 + 0.5).clamp(0, 1) for edge in EDGES]
    bounds = [torch.zeros_like(radius), *inside, torch.ones_like(radius)]
    fractions = torch.zeros(5, n_slices, n_y, n_x)
    for layer, (inner, outer) in zip(LAYERS, pairwise(bounds), strict=True):
        fractions[TISSUES.index(layer)] += outer - inner
    return fractions


@pytest.fixture(scope="session")
def make_fractions() -> Callable[[int, int, int], Tensor]:
    """Makes the fractions of a small head, `(tissue, slice, y, x)`, of air, csf, gm, wm and fat."""
    return layered_head


@pytest.fixture(scope="session")
def kill_while_writing() -> Callable[[str, Path], None]:
    """Starts a program that says `writing` and writes to the path that it is given, and kills it in the middle."""

    def kill(program: str, path: Path) -> None:
        command = [sys.executable, "-c", program, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            while not any(path.parent.iterdir()):
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()

    return kill


@dataclass(frozen=True)
class Brain:
    """A head of ellipsoids with its regions and the sites of its lesions, 2 mm."""

    head: CrispHead
    regions: Regions
    places: Places


@pytest.fixture(scope="session")
def brain() -> Brain:
    """White matter around two ventricles, deep grey matter beside them, cortex around it, cerebellum below."""
    shape = (70, 84, 70)
    z, y, x = (2.0 * (np.arange(n, dtype=np.float32) - (n - 1) / 2) for n in shape)
    z, y = z[:, None, None], y[:, None]

    def inside(
        radii: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)
    ) -> np.ndarray:
        offsets = (z - centre[0], y - centre[1], x - centre[2])
        squares = [(offset / radius) ** 2 for offset, radius in zip(offsets, radii, strict=True)]
        within: np.ndarray = squares[0] + squares[1] + squares[2] < 1
        return within

    indices, regions = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    layers = (
        ((64, 78, 64), (0, 0, 0), 4, 0),
        ((58, 72, 58), (0, 0, 0), 1, 0),
        ((54, 68, 54), (0, 0, 0), 2, 2),
        ((48, 62, 48), (0, 0, 0), 3, 3),
        ((10, 24, 8), (0, 0, -14), 1, 1),
        ((10, 24, 8), (0, 0, 14), 1, 1),
        ((8, 12, 6), (-20, 0, 0), 2, 0),
        ((18, 24, 30), (-44, -32, 0), 2, 0),
        ((13, 19, 25), (-44, -32, 0), 3, 4),
    )
    for radii, centre, tissue, region in layers:
        where = inside(radii, centre)
        indices[where], regions[where] = tissue, region
    head = CrispHead(indices, ("air", "csf", "gm", "wm", "bone"), (2.0, 2.0, 2.0), np.eye(4))
    return Brain(head, regions, lesion_sites(head, regions))
