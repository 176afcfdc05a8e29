"""A small head for tests of scans, and a death in the middle of writing."""

import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

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
