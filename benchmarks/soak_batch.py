"""A thousand volumes, faults, kills and shards: what `kseg segment` promises, tried at length with real processes.

Every check prints what was seen; the exit code is 1 if one of them failed. Takes a quarter of an hour on two cores.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from noise_volumes import AFFINE, write_volume

from kseg.transforms.nifti import write_nifti

N_VOLUMES, N_BROKEN, N_KILLS = 1000, 50, 20
SHAPE = (2, 40, 32)
KSEG = str(Path(sys.executable).with_name("kseg"))


def cut(path: Path) -> None:
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Turn a bit in the middle over."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def dataset(name: str, value: object) -> Callable[[Path], None]:
    """Replace a dataset."""

    def replace(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[name]
            file[name] = value

    return replace


def relink(path: Path) -> None:
    """Leave a link to nothing."""
    path.unlink()
    path.symlink_to("nothing")


# By suffix, since odd seeds are images.
BREAK: dict[str, tuple[Callable[[Path], object], ...]] = {
    ".h5": (
        cut,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("a letter"),
        relink,
        dataset("kspace", np.full((2, 40, 32), np.nan, np.complex64)),
        dataset("kspace", np.zeros((2, 40, 32), np.complex64)),
        dataset("mask", np.ones(7, bool)),
    ),
    ".gz": (cut, flip, lambda path: write_nifti(path, np.zeros(SHAPE[::-1], np.float32), AFFINE)),
}


def make_inputs(folder: Path) -> None:
    """Write all volumes."""
    for seed in range(N_VOLUMES):
        path = folder / f"site{seed % 7}" / f"head{seed:04d}{'.nii.gz' if seed % 2 else '.h5'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, SHAPE, seed)


def break_some(folder: Path) -> set[str]:
    """Break every twentieth, in ten ways in turn."""
    files = {suffix: sorted(folder.rglob(f"*{suffix}")) for suffix in BREAK}
    share = {".h5": 35, ".gz": 15}
    broken = set()
    for suffix, ways in BREAK.items():
        for number in range(share[suffix]):
            path = files[suffix][number * (len(files[suffix]) // share[suffix])]
            ways[number % len(ways)](path)
            broken.add(case_of(path, folder))
    assert len(broken) == N_BROKEN
    return broken


def case_of(path: Path, folder: Path) -> str:
    """Relative folder and name."""
    return path.relative_to(folder).as_posix().removesuffix(".h5").removesuffix(".nii.gz")


def run(source: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `kseg segment` with one thread for each worker."""
    command = [KSEG, "segment", str(source), str(output), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def results(output: Path) -> dict[str, bytes]:
    """Content of all files but those that tell when something was done."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and not path.name.startswith("results")
    }


def records(output: Path) -> list[dict[str, object]]:
    """All records, in whichever file."""
    lines = [line for path in output.glob("results*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines if line]


def n_recorded(output: Path) -> int:
    """Lines of the records so far."""
    path = output / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def check_broken(source: Path, clean: Path, broken: set[str], output: Path) -> list[str]:
    """Exactly the broken ones fail, each with its reason; the others are as without them."""
    ended = run(source, output, "--workers", "2")
    failed = {str(record["case"]): record for record in records(output) if record["status"] != "ok"}
    reasons = Counter(
        str(record["error"]).split(": ", 1)[1].split("received")[0] for record in failed.values()
    )
    good = {name: content for name, content in results(output).items() if name.endswith("_seg.nii.gz")}
    alone = {name: content for name, content in results(clean).items() if name.endswith("_seg.nii.gz")}
    print(f"broken: exit code {ended.returncode}, {len(good)} done, {len(failed)} failed, for these reasons:")
    for reason, count in reasons.most_common():
        print(f"  {count:3d}  {reason[:100]}")
    faults = []
    if set(failed) != broken or ended.returncode != 1:
        faults.append("broken: other cases failed than those that were broken")
    if any(
        not record["stage"] or str(record["input"]) not in str(record["error"]) for record in failed.values()
    ):
        faults.append("broken: a failure without stage or file")
    if any(alone.get(name) != content for name, content in good.items()) or len(good) != N_VOLUMES - N_BROKEN:
        faults.append("broken: a good volume came out otherwise than in a run of its own")
    return faults


def check_kills(source: Path, whole: Path, output: Path) -> list[str]:
    """Killed again and again, a run ends as if it had not been."""
    generator = torch.Generator().manual_seed(0)
    killed = 0
    for _ in range(N_KILLS):
        command = [KSEG, "segment", str(source), str(output), "--workers", "2"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )
        # At any moment from loading the network to the 45th volume, so that the last kill still finds work.
        aim = n_recorded(output) + float(torch.rand((), generator=generator)) * 45
        while process.poll() is None and n_recorded(output) < aim:
            time.sleep(0.01)
        time.sleep(0.1 * float(torch.rand((), generator=generator)))
        killed += process.poll() is None
        # The session: workers and all.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    ended = run(source, output, "--workers", "2")
    done = Counter(str(record["case"]) for record in records(output))
    left = [path.name for path in output.rglob(".*")]
    print(
        f"kills: {killed} of {N_KILLS} hit a run at work; exit code {ended.returncode}, {len(done)} cases recorded, "
        f"{sum(done.values()) - len(done)} twice, {len(left)} temporary files left"
    )
    faults = []
    if results(output) != results(whole):
        faults.append("kills: results differ from those of an uninterrupted run")
    if max(done.values()) > 1 or left or ended.returncode or killed < N_KILLS:
        faults.append("kills: a case was done twice, something was left, or a kill came too late")
    return faults


def check_divisions(source: Path, whole: Path, folder: Path) -> list[str]:
    """One run, seven shards and Ray make the same files and the same summary."""
    for number in range(1, 8):
        run(source, folder / "shards", "--shard", f"{number}/7")
    merged = subprocess.run(
        [KSEG, "segment", "--merge", str(folder / "shards")], capture_output=True, text=True
    )
    ray = run(source, folder / "ray", "--engine", "ray", "--workers", "2")
    print(f"shards: {merged.stdout.strip()}; ray: {(ray.stdout.strip() or ray.stderr.strip())[-200:]}")
    faults = []
    for name in ("shards", "ray"):
        if results(folder / name) != results(whole):
            faults.append(f"{name}: results or summary differ from those of one run")
    return faults


def main() -> int:
    """Run all checks."""
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        good, mixed = folder / "good", folder / "mixed"
        make_inputs(good)
        shutil.copytree(good, mixed)
        broken = break_some(mixed)
        began = time.monotonic()
        ended = run(good, folder / "whole", "--workers", "2")
        print(f"whole: {ended.stdout.strip()} in {time.monotonic() - began:.0f} s")
        faults = [] if ended.returncode == 0 else [f"whole: exit code {ended.returncode}"]
        faults += check_broken(mixed, folder / "whole", broken, folder / "broken")
        faults += check_kills(good, folder / "whole", folder / "killed")
        faults += check_divisions(good, folder / "whole", folder)
    for fault in faults:
        print(f"FAILED {fault}")
    print("all held" if not faults else f"{len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
