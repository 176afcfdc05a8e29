"""`kseg segment` as it is called, with a bundle that attacks whoever loads it: refused before any of it runs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kseg.pipelines.bundle_seal import seal_bundle

Attack = Callable[[Path, Path], None]


def component(bundle: Path, trace: Path) -> None:
    config = bundle / "configs" / "inference.json"
    attack = {"network_def": {"_target_": "os.system", "command": f"touch {trace}"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | attack))


def weights(bundle: Path, trace: Path) -> None:
    payload = type("Payload", (), {"__reduce__": lambda self: (os.system, (f"touch {trace}",))})()
    torch.save({"weight": payload}, bundle / "models" / "model.pt")


def segment(folder: Path, bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("kseg")
    command = [program, "segment", "a.h5", "out", "--bundle", bundle, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path, save_kspace: Callable[..., Path]) -> Path:
    """A copy of a good bundle, and beside it a scan that it could segment."""
    save_kspace(tmp_path / "a.h5")
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("attack", "file", "options"),
    [
        (component, "configs/inference.json", ("--workers", "2")),
        (weights, "models/model.pt", ()),
    ],
)
def test_it_is_refused(
    attack: Attack, file: str, options: tuple[str, ...], bundle: Path, tmp_path: Path
) -> None:
    attack(bundle, tmp_path / "trace")
    seal_bundle(bundle)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    ended = segment(tmp_path, bundle, *options)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"kseg: {bundle}/{file}: check bundle: expected ")
    assert line.isprintable()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out").exists()


def test_the_attack_is_real(bundle: Path, tmp_path: Path) -> None:
    component(bundle, tmp_path / "trace")
    seal_bundle(bundle)
    segment(tmp_path, bundle, "--trust")
    assert (tmp_path / "trace").exists()
