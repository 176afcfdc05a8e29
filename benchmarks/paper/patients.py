"""Simulated patients of the test heads: made once, the same for all cells."""

from pathlib import Path

from kseg.pipelines.simulate_lesions import CONTRAST_NAMES, LesionSettings, simulate_lesions
from kseg.transforms.errors import InputError
from paper.budget import Heads
from paper.scans import head_names, scans_folder, simulated_once

_STAGE = "simulate test patients"
_SEED = 0


def simulate_test_patients(heads: Heads, n_patients: int, runs: Path) -> Path:
    """Simulate patients of the test heads, unless they are there.

    Args:
        heads: label maps.
        n_patients: patients of each head.
        runs: folder of all runs.

    Returns:
        The folder that holds `images` and `labels`, see `simulate_lesions`.

    Raises:
        InputError: a head that cannot be used, or images that are not those that were recorded.
    """
    names = head_names(heads.test)
    folder = scans_folder(heads, f"patients_{n_patients}", runs)
    cases = [case for name in names for case in _cases(name, n_patients)]
    labels = {f"labels/{case}": folder / "labels" / f"{case}.nii.gz" for case in cases}
    images = {
        f"images/{case}_{contrast}": folder / "images" / f"{case}_{contrast}.nii.gz"
        for case in cases
        for contrast in CONTRAST_NAMES
    }

    def simulate_all() -> None:
        for head in heads.test:
            result = simulate_lesions(head, folder, LesionSettings(count=n_patients, seed=_SEED))
            if result.failed:
                raise InputError(
                    folder, _STAGE, "patients of all test heads", "; ".join(result.failed.values())
                )

    return simulated_once(folder, labels | images, simulate_all, {"patients": n_patients, "seed": _SEED})


def _cases(head: str, n_patients: int) -> list[str]:
    return [head] if n_patients == 1 else [f"{head}_{number:03d}" for number in range(1, n_patients + 1)]
