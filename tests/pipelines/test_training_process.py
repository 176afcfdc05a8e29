"""Trainings as users run them: processes of `python -m monai.bundle` that are killed, terminated, resumed."""

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kseg.pipelines.bundle_folder import find_bundle

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are those of POSIX")

SETTINGS = {
    "network_overrides": "{'n_blocks':1,'n_recurrences':1,'n_filters':4,'unet_channels':[4,8]}",
    "epochs": "3",
    "batch_size": "2",
    "slices": "[18,24,30,36,42,46]",
    "validation_slices": "[30]",
    "validation_heads": "1",
    "halve_every": "2",
    "device": "cpu",
}
PATIENCE = 300

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(small_heads: list[Path], tmp_path: Path) -> Start:
    """Start a small training whose folder is OUTPUT; settings besides as on the command line."""
    bundle = find_bundle("brain_kspace_segmentation")

    def run(output: str, stderr: int = subprocess.PIPE, **settings: str) -> subprocess.Popen[str]:
        options = {
            "config_file": bundle / "configs/train.json",
            "bundle_root": bundle,
            "dataset_dir": small_heads[0].parent,
            "output_dir": tmp_path / output,
            **SETTINGS,
            **settings,
        }
        command = [sys.executable, "-m", "monai.bundle", "run"]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            env=environment,
            cwd=tmp_path,
            start_new_session=True,
        )

    return run


def wait_for(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, messages = process.communicate(timeout=PATIENCE)
    return process.returncode, messages


def epochs_in(folder: Path) -> list[str]:
    log = folder / "log.csv"
    return [line.split(",")[0] for line in log.read_text().splitlines()[1:]] if log.exists() else []


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def equal(first: object, second: object) -> bool:
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            equal(value, second[key]) for key, value in first.items()
        )
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    return first == second


def read_terminal(terminal: int) -> str:
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    return shown.decode(errors="replace")


def test_a_training_that_was_terminated_and_killed_ends_as_one_that_was_not(start: Start, tmp_path: Path):
    parts = tmp_path / "parts"
    process = start("parts")
    wait_for(process, (parts / "resume.pt").exists)
    os.killpg(process.pid, signal.SIGTERM)  # its data worker too
    code, messages = finish(process)
    assert code == 128 + signal.SIGTERM, messages[-2000:]
    assert load(parts / "resume.pt")["epoch"] == 1
    assert "Epoch [" not in messages

    process = start("parts")
    wait_for(process, lambda: "2" in epochs_in(parts))
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    assert finish(start("parts"))[0] == 0

    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    # Whether a worker or the process itself simulates does not matter either.
    process = start("whole", stderr=end, num_workers="0")
    os.close(end)
    shown = read_terminal(terminal)
    assert process.wait(PATIENCE) == 0, shown[-2000:]
    os.close(terminal)
    assert "Epoch [1/3]: [2/3]" in shown
    whole = tmp_path / "whole"
    for name in ("resume.pt", "model.pt"):
        assert equal(load(parts / name), load(whole / name)), name
    assert epochs_in(parts) == epochs_in(whole) == ["1", "2", "3"]


def test_a_training_that_diverges_ends_with_an_error_and_keeps_the_last_good_state(
    start: Start, tmp_path: Path
):
    process = start("diverged", learning_rate="1e30")
    code, messages = finish(process)
    assert code == 1
    assert re.search(
        r"RuntimeError: (training: expected a finite loss|The total norm .* is non-finite)", messages
    )
    for path in (tmp_path / "diverged").glob("*.pt"):
        network = load(path).get("network", load(path))
        assert all(value.isfinite().all() for value in network.values())


def test_a_damaged_checkpoint_stops_a_training_with_one_line(start: Start, tmp_path: Path):
    path = tmp_path / "damaged/resume.pt"
    path.parent.mkdir()
    torch.save({"network": {}}, path)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    code, messages = finish(start("damaged"))
    assert code == 1
    expected = (
        f"InputError: {path}: resume training: expected an intact file of torch.save, received BadZipFile"
    )
    assert [line for line in messages.splitlines() if expected in line]
    assert path.read_bytes() == content[:-20]


def test_a_joint_training_starts_a_recurrent_one(start: Start, tmp_path: Path):
    joint = SETTINGS["network_overrides"].replace("'n_recurrences':1", "'n_recurrences':0")
    code, messages = finish(start("joint", network_overrides=joint, epochs="1", slices="[30]"))
    assert code == 0, messages[-2000:]
    weights = str(tmp_path / "joint/model.pt")
    parts = str(dict.fromkeys(("reconstruction", "segmenter"), weights))
    code, messages = finish(start("warm", warm_start=parts, epochs="1", slices="[30]", learning_rate="1e-30"))
    assert code == 0, messages[-2000:]
    before, after = load(tmp_path / "joint/model.pt"), load(tmp_path / "warm/model.pt")
    shared = [name for name in before if "running" not in name and "num_batches" not in name]
    assert shared
    for name in shared:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-7)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a processor needs g++")
def test_a_compiled_training_is_the_training_and_keeps_the_names_of_its_weights(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled_code"))
    # The frozen part shows that a compiled network still switches between training and evaluation.
    settings = {"epochs": "1", "slices": "[24,30]", "precision": "float32", "frozen": "['reconstruction']"}
    for folder, compiled in (("eager", "False"), ("compiled", "True")):
        code, messages = finish(start(folder, compile=compiled, **settings))
        assert code == 0, messages[-2000:]
        assert any((tmp_path / "compiled_code").rglob("*.cpp")) == (compiled == "True")
    eager, compiled = (load(tmp_path / folder / "model.pt") for folder in ("eager", "compiled"))
    assert list(eager) == list(compiled)
    for name in eager:
        # Adam's first step is as long for the smallest gradient as for the largest.
        torch.testing.assert_close(compiled[name], eager[name], rtol=0, atol=2.1e-3)
    losses = [
        float((tmp_path / folder / "log.csv").read_text().splitlines()[1].split(",")[1])
        for folder in ("eager", "compiled")
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_a_data_worker_ends_by_its_training_alone(context: str) -> None:
    """However often others terminate it; and the training does not wait for it when it ends by an error itself."""
    program = f"""
import subprocess
from torch.utils.data import DataLoader
from kseg.pipelines.training import SurviveSigterm
data = DataLoader(range(9), num_workers=1, worker_init_fn=SurviveSigterm(), multiprocessing_context="{context}")
loader = iter(data)
next(loader)
worker = loader._workers[0]
for _ in range(3):
    subprocess.run(["kill", str(worker.pid)], check=True)
    worker.join(0.3)
    print(worker.is_alive(), flush=True)
print([int(value) for value in loader], flush=True)
loader = iter(data)
print(int(next(loader)), flush=True)
raise ConnectionError("the training is over")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE / 6
    )
    expected = ["True", "True", "True", str(list(range(1, 9))), "0"]
    assert done.stdout.splitlines() == expected, done.stderr[-2000:]
    assert done.stderr.splitlines()[-1] == "ConnectionError: the training is over"
    assert done.returncode == 1


def test_a_data_worker_whose_training_is_gone_ends_by_anyone() -> None:
    program = """
import os, signal, time
from kseg.pipelines.training import SurviveSigterm
training = os.fork()
if training == 0:
    worker = os.fork()
    if worker == 0:
        SurviveSigterm()(0)
        print(os.getpid(), flush=True)
        while True:
            time.sleep(0.1)
    time.sleep(1000)
input()
os.kill(training, signal.SIGKILL)
os.waitpid(training, 0)
print("gone", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        os.kill(worker, signal.SIGTERM)
        time.sleep(0.3)
        os.kill(worker, 0)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "gone\n"
        os.kill(worker, signal.SIGTERM)
        # It holds the other end too: there is an end of the file when both are gone.
        assert process.stdout.readline() == ""
