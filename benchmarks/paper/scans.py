"""The test heads as simulated k-space: once for every noise level and share of lines, the same for all cells."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kseg import __version__
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
    names = head_names(heads.test)
    folder = scans_folder(heads, f"noise_{noise:g}-lines_{fraction:g}", runs)
    files = {
        f"{kind}/{name}": folder / kind / f"{name}{ending}"
        for name in names
        for kind, ending in _KINDS.items()
    }

    def scan() -> None:
        for head in heads.test:
            result = simulate(head, folder, SimulationSettings(noise=noise, fraction=fraction, seed=_SEED))
            if result.failed:
                raise InputError(folder, _STAGE, "scans of all test heads", "; ".join(result.failed.values()))

    return simulated_once(folder, files, scan, {"noise": noise, "fraction": fraction, "seed": _SEED})


def scans_folder(heads: Heads, name: str, runs: Path) -> Path:
    """Where scans of the test heads lie.

    Those of other heads, or of another simulator, lie elsewhere: whatever is in the folder is segmented.

    Args:
        heads: label maps.
        name: what else the scans depend on.
        runs: folder of all runs.
    """
    return runs / "scans" / f"{name}-{short_digest([heads.contents(heads.test), __version__])}"


def simulated_once(
    folder: Path, files: Mapping[str, Path], simulate_all: Callable[[], None], content: Mapping[str, Any]
) -> Path:
    """Fill a folder with scans, unless it is recorded as full.

    Args:
        folder: where they lie; one process at a time fills it.
        files: what there is in the end, by name.
        simulate_all: makes them.
        content: what the record says of them.

    Returns:
        The folder.

    Raises:
        InputError: files that are missing or not those that were recorded.
    """
    record = folder / "done.json"
    with locked(folder):
        if read_record(record, files) is None:
            simulate_all()
            write_record(record, content, files)
    return folder


def head_names(heads: Sequence[Path]) -> list[str]:
    """Names of heads: those of their label maps without ending."""
    return [path.name.removesuffix(".gz").removesuffix(".nii") for path in heads]
