"""Actors on a real cluster: two nodes of Ray on this machine."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
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


def ray_command(*arguments: str) -> None:
    command = [Path(sys.executable).with_name("ray"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


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
    node = ("--num-cpus", "1", "--object-store-memory", str(80 * 2**20), "--disable-usage-stats")
    temporary = tmp_path_factory.mktemp("ray")
    head = ("--head", "--port", address.split(":")[1], "--include-dashboard", "false")
    try:
        ray_command("start", *head, "--temp-dir", str(temporary), *node)
        ray_command("start", "--address", address, *node)
        yield address
    finally:
        ray_command("stop", "--force")


def drive(folder: Path, address: str, *cases: str, broken: str = "") -> list[object]:
    for case in cases:
        (folder / case).touch()
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder), address, broken, *cases],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", '"'))]


def test_an_item_that_kills_or_hangs_its_actor_costs_itself_only(cluster: str, tmp_path: Path) -> None:
    cases = ("a", "killed", "b", "hangs", "bad", "c", "d")
    records = {record["case"]: record for record in drive(tmp_path, cluster, *cases)}
    assert set(records) == set(cases)
    assert {case for case, record in records.items() if record["status"] == "ok"} == {"a", "b", "c", "d"}
    assert records["killed"]["error_class"] == "WorkerDied"
    expected = f"{tmp_path}/killed: test: expected an actor that lives, received its death: "
    assert records["killed"]["error"].startswith(expected)
    assert records["hangs"]["error"] == f"{tmp_path}/hangs: test: expected an end within 3 s, received none"
    assert records["hangs"]["error_class"] == "Timeout"
    assert records["bad"]["error"] == f"{tmp_path}/bad: test: expected good, received bad"
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
