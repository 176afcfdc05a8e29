"""The test heads as simulated k-space: once for every noise level and share of lines, the same for all cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kseg import __version__
from kseg.pipelines.simulate import SimulationSettings, simulate
from kseg.transforms.dictionary_simulation import ScanProtocol
from kseg.transforms.errors import InputError
from kseg.transforms.sequences import SEQUENCES
from paper.budget import Heads
from paper.records import locked, read_record, short_digest, write_record

_STAGE = "simulate test heads"
_SEED = 0
_KINDS = {"kspace": ".h5", "labels": ".nii.gz", "images": ".nii.gz"}


@dataclass(frozen=True)
class Scan:
    """How heads are scanned.

    Attributes:
        noise: noise level.
        fraction: share of lines that are sampled.
        sequence: `name` of the pulse sequence and its times; None for that of `kseg simulate`.
    """

    noise: float
    fraction: float
    sequence: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Everything that it is.

        Example:
            >>> Scan(0.1, 0.3).name, Scan(0.1, 0.3, {"name": "spin_echo", "te": 0.02}).name
            ('noise_0.1-lines_0.3', 'noise_0.1-lines_0.3-spin_echo-te_0.02')
        """
        times = {key: value for key, value in (self.sequence or {}).items() if key != "name"}
        parts = [f"noise_{self.noise:g}", f"lines_{self.fraction:g}"]
        parts += [str(self.sequence["name"])] if self.sequence else []
        return "-".join([*parts, *(f"{key}_{value:g}" for key, value in times.items())])

    def settings(self) -> SimulationSettings:
        """What `kseg simulate` is asked for."""
        times = dict(self.sequence or {"name": "spin_echo"})
        protocol = ScanProtocol(sequence=SEQUENCES[times.pop("name")](**times))
        return SimulationSettings(noise=self.noise, fraction=self.fraction, protocol=protocol, seed=_SEED)


def simulate_test_heads(heads: Heads, scan: Scan, runs: Path) -> Path:
    """Simulate the scans of the test heads, unless they are there.

    Args:
        heads: label maps.
        scan: how they are scanned.
        runs: folder of all runs.

    Returns:
        The folder that holds `kspace`, `labels` and `images`.

    Raises:
        InputError: a head that cannot be used, or scans that are not those that were recorded.
    """
    names = head_names(heads.test)
    folder = scans_folder(heads, scan.name, runs)
    files = {
        f"{kind}/{name}": folder / kind / f"{name}{ending}"
        for name in names
        for kind, ending in _KINDS.items()
    }

    def simulate_all() -> None:
        for head in heads.test:
            result = simulate(head, folder, scan.settings())
            if result.failed:
                raise InputError(folder, _STAGE, "scans of all test heads", "; ".join(result.failed.values()))

    return simulated_once(folder, files, simulate_all, {**asdict(scan), "seed": _SEED})


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
