"""Simulated patients of the test heads: made once, the same for all cells."""

import shutil
import subprocess
import sys
from pathlib import Path

from kseg.transforms.errors import InputError
from paper.budget import Heads
from paper.records import short_digest
from paper.scans import head_names, simulated_once

COMMAND = (sys.executable, "-m", "kseg.pipelines.command", "simulate-lesions")
"""What simulates a patient of every head of a folder: `COMMAND HEADS OUT --seed N`."""

_STAGE = "simulate test patients"
_CONTRASTS = ("T1w", "T2w", "FLAIR")


def simulate_test_patients(heads: Heads, n_patients: int, runs: Path) -> Path:
    """Simulate patients of the test heads, unless they are there.

    Args:
        heads: label maps.
        n_patients: patients of each head; the number of a patient is its seed.
        runs: folder of all runs.

    Returns:
        The folder that holds `images/patient_N/HEAD_CONTRAST.nii.gz` and `labels/patient_N/HEAD.nii.gz`.

    Raises:
        InputError: a head that cannot be used, or images that are not those that were recorded.
    """
    names = head_names(heads.test)
    folder = runs / "scans" / f"patients_{n_patients}-{short_digest(names)}"
    files = {
        f"{kind}/patient_{number}/{name}": folder / kind / f"patient_{number}" / f"{name}.nii.gz"
        for number in range(n_patients)
        for head in names
        for kind, name in [("labels", head), *(("images", f"{head}_{each}") for each in _CONTRASTS)]
    }

    def simulate_all() -> None:
        for number in range(n_patients):
            _simulate(heads, folder, number)

    return simulated_once(folder, files, simulate_all, {"patients": n_patients})


def _simulate(heads: Heads, folder: Path, number: int) -> None:
    # Hidden, and beside the folders that are segmented: whatever is in those counts.
    source, made = folder / ".heads", folder / ".made"
    for place in (source, made):
        shutil.rmtree(place, ignore_errors=True)
    source.mkdir(parents=True)
    for head in heads.test:
        (source / head.name).symlink_to(head.resolve())
    command = [*COMMAND, str(source), str(made), "--seed", str(number)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        told = [line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        received = f"{ended.returncode}: {told[-1] if told else 'nothing was said'}"
        raise InputError(folder, _STAGE, "exit code 0", received)
    for kind in ("images", "labels"):
        target = folder / kind / f"patient_{number}"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        (made / kind).rename(target)
    for place in (source, made):
        shutil.rmtree(place)
