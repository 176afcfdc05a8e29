"""What every test may ask for, and the one thing that none may do: move a global random state."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data that KSEG_DATA names."""
    folder = os.environ.get("KSEG_DATA")
    if not folder:
        pytest.skip("KSEG_DATA is not set: it names the folder that holds heads/ and kspace/")
    return Path(folder)


@pytest.fixture(scope="session")
def heads(data_folder: Path) -> list[Path]:
    """The label maps of whole heads, by name."""
    paths = sorted((data_folder / "heads").glob("*.nii.gz"))
    assert paths, f"{data_folder / 'heads'}: expected label maps (*.nii.gz), received none"
    return paths


@pytest.fixture(scope="session")
def raw_kspace(data_folder: Path) -> Path:
    """A measured slice of a brain, complex64 (coil, y, x), under-sampled in y and x."""
    return data_folder / "kspace" / "brain_8ch_cartesian.npy"


@pytest.fixture(scope="session")
def project_files() -> list[Path]:
    """Every file that belongs to the project, generated ones left out."""
    generated = {"__pycache__", "_build", "build", "dist", "eval", "generated"}
    rooms = ("benchmarks", "bundles", "docs", "networks", "pipelines", "src", "tests", "transforms", ".ci")
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".coverage"]
    for room in rooms:
        found += [path for path in (ROOT / room).rglob("*") if path.is_file()]
    return sorted(
        path
        for path in found
        if not any(part in generated or part.endswith(".egg-info") for part in path.relative_to(ROOT).parts)
    )


def global_states() -> dict[str, object]:
    """A copy of each global random state, comparable with ==."""
    # Not that of Python's `random`: importing MONAI moves it. The linter bans that module instead.
    _, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (np.asarray(keys).tobytes(), *rest),
    }


@pytest.fixture(autouse=True)
def global_states_untouched() -> Iterator[None]:
    """Fail the test that moves a global random state: the library draws from generators it is given."""
    before = global_states()
    yield
    after = global_states()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        pytest.fail(
            f"the test moved the global random state of {', '.join(moved)}: pass a torch.Generator, or ask "
            "for the fixture `seeded` where PyTorch itself draws (initial weights, MONAI's set_determinism)"
        )


@pytest.fixture
def seeded() -> Iterator[None]:
    """Seed the global generators for this test alone; for what draws from them whatever it is given."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        yield
    np.random.set_state(numpy_state)
