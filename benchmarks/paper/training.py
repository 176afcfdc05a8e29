"""Trainings as processes of `python -m monai.bundle`, each done once."""

import json
import os
import subprocess
import sys
from csv import DictReader, reader, writer
from pathlib import Path
from typing import Any

import torch

from kseg.networks.warm_start import read_checkpoint
from kseg.pipelines.bundle_folder import find_bundle
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError
from paper.plan import Training, configuration_files, seen_key
from paper.provenance import commit, hardware
from paper.records import locked, read_record, write_record

COMMAND = (sys.executable, "-m", "monai.bundle", "run", "--args_file", "arguments.json")
"""What trains, run in the folder of the training."""

_STAGE = "train"
# Without these glibc gives the memory of every batch back to the system and takes it anew in the next step, where
# each page costs a fault: a training on the processor spends a large part of its time in them.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
}


def weights_of(training: Training, runs: Path) -> Path:
    """Where a training leaves its weights."""
    return runs / "stages" / training.name / "weights.pt"


def train(training: Training, runs: Path, num_workers: int, wait: bool = True) -> dict[str, Any]:
    """Do a training, or go on with one that was interrupted, unless it is recorded as finished.

    The weights are those after the last epoch: no epoch is chosen, least of all by the test heads.

    Args:
        training: what to train.
        runs: folder of all runs.
        num_workers: processes that simulate data.
        wait: while another driver has it.

    Returns:
        The record: configuration, epochs, slices or crops seen, seconds in them, commits and hardware.

    Raises:
        InputError: the training failed, or what it or one before it left is damaged or missing.
        BlockingIOError: another driver has it, and that was not to be waited for.
    """
    folder = weights_of(training, runs).parent
    with locked(folder, wait) as lock:
        record = finished(training, runs)
        if record is not None:
            return record
        arguments = _arguments(training, runs, num_workers)
        with atomic_path(folder / "arguments.json") as temporary:
            temporary.write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
        _note_start(folder)
        _run(folder, lock)
        return _record(training, runs)


def finished(training: Training, runs: Path) -> dict[str, Any] | None:
    """The record of a finished training, or None.

    Raises:
        InputError: a damaged record or that of another training, or weights that are missing or not those that were
            recorded.
    """
    weights = weights_of(training, runs)
    path = weights.with_name("done.json")
    keys = ("arguments", "epochs", seen_key(training.unit), "seconds", "commits", "hardware")
    record = read_record(path, {"weights": weights}, keys)
    if record is not None and record["arguments"] != training.arguments:
        raise InputError(path, _STAGE, f"arguments {training.arguments}", str(record["arguments"]))
    return record


def _arguments(training: Training, runs: Path, num_workers: int) -> dict[str, Any]:
    for earlier in training.warm_start.values():
        if finished(earlier, runs) is None:
            raise InputError(weights_of(earlier, runs), _STAGE, "weights to start from", "no such file")
    # The validation that a configuration asks for sees a training head and never runs: the test heads stay unseen.
    label_maps = [str(path.resolve()) for path in (*training.train, training.train[-1])]
    return {
        "config_file": [str(path) for path in configuration_files(training.bundle, training.configs)],
        "bundle_root": str(find_bundle(training.bundle)),
        "output_dir": str(weights_of(training, runs).parent.resolve()),
        "label_maps": label_maps,
        "validation_heads": 1,
        **training.unused,
        "val_interval": training.arguments["epochs"] + 1,
        "num_workers": num_workers,
        "warm_start": {
            part: str(weights_of(earlier, runs).resolve()) for part, earlier in training.warm_start.items()
        },
        **training.arguments,
    }


def _record(training: Training, runs: Path) -> dict[str, Any]:
    weights = weights_of(training, runs)
    folder = weights.parent
    checkpoint = read_checkpoint(folder / "resume.pt", _STAGE)
    epochs = training.arguments["epochs"]
    if checkpoint.get("epoch") != epochs:
        raise InputError(folder, _STAGE, f"{epochs} epochs", str(checkpoint.get("epoch")))
    with atomic_path(weights) as temporary:
        torch.save(checkpoint["network"], temporary)
    content = {
        "configs": training.configs,
        "arguments": training.arguments,
        "warm_start": {part: earlier.name for part, earlier in training.warm_start.items()},
        "epochs": epochs,
        seen_key(training.unit): training.seen,
        "seconds": _seconds(folder / "log.csv"),
        **_starts(folder),
    }
    write_record(folder / "done.json", content, {"weights": weights})
    # The optimiser's state is twice the size of the weights, and nobody goes on from here.
    (folder / "resume.pt").unlink()
    return content


def _note_start(folder: Path) -> None:
    # One that was stopped may go on with other code or on another machine.
    with (folder / "starts.csv").open("a", newline="", encoding="utf-8") as file:
        writer(file).writerow([commit(), hardware()])


def _starts(folder: Path) -> dict[str, list[str]]:
    with (folder / "starts.csv").open(newline="", encoding="utf-8") as file:
        commits, machines = zip(*reader(file), strict=True)
    return {"commits": sorted(set(commits)), "hardware": sorted(set(machines))}


def _run(folder: Path, lock: int) -> None:
    environment = {**_KEEP_MEMORY, **os.environ}
    with (folder / "output.log").open("ab") as output:
        # With the lock: a driver that is killed leaves the training, and the next one has to wait for it.
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
        )
        try:
            code = process.wait()
        finally:
            # Interrupted itself, the driver ends the training, which saves where it stands.
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code:
        raise InputError(folder / "output.log", _STAGE, "exit code 0", f"{code}: {_last_line(folder)}")


def _last_line(folder: Path) -> str:
    lines = (folder / "output.log").read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.strip() for line in lines if line.strip()]
    return told[-1] if told else "nothing was said"


def _seconds(log: Path) -> float:
    with log.open(newline="", encoding="utf-8") as file:
        return round(sum(float(row["seconds"]) for row in DictReader(file)), 1)
