"""The test heads as simulated k-space: once for every noise level and share of lines, the same for all cells."""

from pathlib import Path

from kseg.pipelines.simulate import SimulationSettings, simulate
from kseg.transforms.errors import InputError
from paper.budget import Heads
from paper.records import locked, read_record, short_digest, write_record

_STAGE = "simulate test heads"
_SEED = 0
_KINDS = {"kspace": ".h5", "labels": ".nii.gz", "images": ".nii.gz"}


def simulate_test_heads(heads: Heads, noise: float, fraction: float, runs: Path) -> Path:
    """Simulate the scans of the test heads, unless they are there.

    Args:
        heads: label maps.
        noise: noise level.
        fraction: share of lines that are sampled.
        runs: folder of all runs.

    Returns:
        The folder that holds `kspace`, `labels` and `images`.

    Raises:
        InputError: a head that cannot be used, or scans that are not those that were recorded.
    """
    names = [head_name(path) for path in heads.test]
    # Other heads lie elsewhere: whatever is in the folder is segmented.
    folder = runs / "scans" / f"noise_{noise:g}-lines_{fraction:g}-{short_digest(names)}"
    files = {
        f"{kind}/{name}": folder / kind / f"{name}{ending}"
        for name in names
        for kind, ending in _KINDS.items()
    }
    record = folder / "done.json"
    with locked(folder):
        if read_record(record, files) is not None:
            return folder
        for head in heads.test:
            result = simulate(head, folder, SimulationSettings(noise=noise, fraction=fraction, seed=_SEED))
            if result.failed:
                raise InputError(folder, _STAGE, "scans of all test heads", "; ".join(result.failed.values()))
        write_record(record, {"noise": noise, "fraction": fraction, "seed": _SEED}, files)
    return folder


def head_name(path: Path) -> str:
    """Name of a head: that of its label map without ending."""
    return path.name.removesuffix(".gz").removesuffix(".nii")
