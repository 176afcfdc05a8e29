"""Relaxation and proton density of tissues, read from YAML tables."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from kseg.transforms.errors import InputError

_TABLES = Path(__file__).parent / "tables"
_STAGE = "read tissue table"


@dataclass(frozen=True)
class Tissue:
    """What one tissue contributes to the signal.

    Attributes:
        pd: proton density relative to CSF, 0 or more.
        t1: longitudinal relaxation time, seconds.
        t2: transverse relaxation time, seconds.
        t2_star: transverse relaxation time with static dephasing, seconds, at most t2.
        off_resonance: chemical shift, hertz relative to water.
    """

    pd: float
    t1: float
    t2: float
    t2_star: float
    off_resonance: float = 0.0

    def __post_init__(self) -> None:
        if not (self.pd >= 0 and self.t1 > 0 and 0 < self.t2_star <= self.t2):
            raise ValueError(f"tissue: expected pd >= 0, t1 > 0, 0 < t2_star <= t2, received {self}")

    @property
    def dephasing_rate(self) -> float:
        """1/T2' = 1/T2* - 1/T2, per second."""
        return 1 / self.t2_star - 1 / self.t2

    def scaled(self, pd: float, t1: float, t2: float) -> "Tissue":
        """Copy with density and relaxation times multiplied by factors; T2 and T2* share one.

        Example:
            >>> Tissue(pd=0.8, t1=1.0, t2=0.08, t2_star=0.04).scaled(1.0, 1.5, 2.0)
            Tissue(pd=0.8, t1=1.5, t2=0.16, t2_star=0.08, off_resonance=0.0)
        """
        # One may never overtake the other.
        return replace(self, pd=self.pd * pd, t1=self.t1 * t1, t2=self.t2 * t2, t2_star=self.t2_star * t2)

    def jittered(self, random: np.random.RandomState, relative: float) -> "Tissue":
        """Copy with density, T1 and T2 each multiplied by a factor uniform in 1 +- relative.

        Args:
            random: source of randomness.
            relative: largest relative change.
        """
        return self.scaled(*(1 + relative * random.uniform(-1, 1, 3)).tolist())


def require_tissue_jitter(relative: float) -> None:
    """Refuse a relative change that `Tissue.jittered` may fail at.

    Raises:
        ValueError: a negative one, or 1 and more, which may leave nothing of a relaxation time.
    """
    if not 0 <= relative < 1:
        raise ValueError(f"tissue jitter: expected 0 or more and below 1, received {relative}")


def load_tissue_table(name_or_path: str = "1.5T") -> dict[str, Tissue]:
    """Read a tissue table.

    Args:
        name_or_path: `1.5T` or `3T` for a shipped table, else the path of a YAML file of the same form.

    Returns:
        Tissues by name.

    Raises:
        InputError: no such table, or an entry that is not a tissue.

    Example:
        >>> load_tissue_table("1.5T")["gm"].t2
        0.083
    """
    shipped = _TABLES / f"tissues_{name_or_path}.yaml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(p.stem.removeprefix("tissues_") for p in _TABLES.glob("tissues_*.yaml")))
        raise InputError(name_or_path, _STAGE, f"one of {names} or the path of a YAML file", "no such file")
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, _STAGE, "YAML", str(error).splitlines()[0]) from error
    if not isinstance(table, dict) or not isinstance(table.get("tissues"), dict):
        raise InputError(path, _STAGE, "a mapping with the key 'tissues'", type(table).__name__)
    return {str(name): _tissue(path, str(name), entry) for name, entry in table["tissues"].items()}


def tissue_list(tissues: dict[str, Tissue], names: Sequence[str]) -> list[Tissue]:
    """Look up tissues by name.

    Raises:
        ValueError: names the table does not have.
    """
    missing = [name for name in names if name not in tissues]
    if missing:
        raise ValueError(
            f"tissue table: expected entries for {', '.join(names)}, received none for {', '.join(missing)}"
        )
    return [tissues[name] for name in names]


def _tissue(path: Path, name: str, entry: Any) -> Tissue:
    known = {field.name for field in fields(Tissue)}
    values = dict(entry) if isinstance(entry, dict) else {}
    values.pop("source", None)
    if not known - {"off_resonance"} <= set(values) <= known:
        raise InputError(path, _STAGE, f"tissue {name} with {', '.join(sorted(known))}", str(entry))
    try:
        return Tissue(**{key: float(value) for key, value in values.items()})
    except (TypeError, ValueError) as error:
        raise InputError(path, _STAGE, f"tissue {name} with valid numbers", str(error)) from error
