"""Actors on a real cluster: two nodes of Ray on this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kseg.pipelines.ray_workers import RayWorkers

pytest.importorskip("ray", reason="needs Ray, an optional dependency")
pytestmark = pytest.mark.usefixtures("hostile_task")

# A driver of its own: Ray's warnings and its state stay out of this process.
DRIVER = """
import json
import sys
from pathlib import Path

from hostile_task import Hostile
from kseg.pipelines.items import list_items
from kseg.pipelines.ray_workers import RayWorkers

folder, address, broken, *cases = sys.argv[1:]
items = list_items({case: [Path(folder, case)] for case in cases})
try:
    for record in RayWorkers(Hostile(Path(folder), broken=broken), 2, 3.0, address).run(items):
        print(json.dumps(record), flush=True)
except ValueError as error:
    print(json.dumps(str(error)))
"""


@contextmanager
def node(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of Ray with one core; it ends with its processes, and no other Ray on this machine does."""
    command = [Path(sys.executable).with_name("ray"), "start", "--block", "--num-cpus", "1", *arguments]
    options = ("--object-store-memory", str(80 * 2**20), "--disable-usage-stats")
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_port(address: str) -> None:
    host, port = address.split(":")
    for _ in range(600):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing at {address}")


def wait_for_nodes(address: str, count: int) -> None:
    program = (
        "import sys, ray; ray.init(sys.argv[1], log_to_driver=False); "
        "sys.exit(sum(node['Alive'] for node in ray.nodes()) != int(sys.argv[2]))"
    )
    for _ in range(60):
        tried = subprocess.run([sys.executable, "-c", program, address, str(count)], capture_output=True)
        if tried.returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(f"no {count} nodes at {address}")


@pytest.fixture
def cluster(
    hostile_task: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Address of a cluster of two nodes with one core each."""
    # Whoever runs this may have a token of Ray, which the two nodes need not have.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    head = ("--head", "--port", address.split(":")[1], "--include-dashboard", "false")
    temporary = ("--temp-dir", str(tmp_path_factory.mktemp("ray")))
    with node(*head, *temporary):
        wait_for_port(address)
        with node("--address", address):
            wait_for_nodes(address, 2)
            yield address


def drive(folder: Path, address: str, *cases: str, broken: str = "") -> list[object]:
    for case in cases:
        (folder / case).touch()
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder), address, broken, *cases],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", '"'))]


def test_an_item_that_kills_or_hangs_its_actor_costs_itself_only(cluster: str, tmp_path: Path) -> None:
    cases = ("a", "killed", "b", "hangs", "bad", "c", "d")
    records = {record["case"]: record for record in drive(tmp_path, cluster, *cases)}
    assert set(records) == set(cases)
    assert {case for case, record in records.items() if record["status"] == "ok"} == {"a", "b", "c", "d"}
    assert records["killed"]["error_class"] == "WorkerDied"
    expected = f"{tmp_path}/killed: test: expected a worker that lives, received its death: "
    assert records["killed"]["error"].startswith(expected)
    assert records["hangs"]["error"] == f"{tmp_path}/hangs: test: expected an end within 3 s, received none"
    assert records["hangs"]["error_class"] == "Timeout"
    assert records["bad"]["error"] == f"{tmp_path}/bad: test: expected good, received bad"
    assert {record.get("threads") for record in records.values()} == {"1", None}
    pids = {record["pid"] for record in records.values() if "pid" in record}
    assert os.getpid() not in pids
    assert len((tmp_path / "started").read_text().split()) >= 3
    assert drive(tmp_path, cluster, "a", broken="refuses") == ["weights: expected some, received none"]
    assert drive(tmp_path, "127.0.0.1:1", "a") == ["ray: expected a cluster at 127.0.0.1:1, received none"]


def test_without_ray_its_installation_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hostile_task import Hostile

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"^ray: expected Ray, `pip install kseg\[ray\]`, received none$"):
        RayWorkers(Hostile(tmp_path), 1, None, None)
