"""The command as a user meets it: exit codes, one line per fault, no traceback, nothing half-written."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kseg import __version__
from kseg.pipelines import command
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.manifest import parse_shard
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti

COMMANDS = ("simulate", "segment", "evaluate", "report", "study", "demo")


def kspace_file(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    kspace = torch.randn(3, 1, 20, 18, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(18, dtype=torch.bool)
    write_kspace(path, KSpaceVolume(kspace, mask, np.eye(4), sigma=None, seed=None, subject="s"))


Run = Callable[..., Any]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_one_example(name: str, run: Run) -> None:
    ended = run(name, "--help")
    assert ended.code == 0
    assert ended.out.count(f"Example: kseg {name} ") == 1
    assert run(name, "-h").out == ended.out


def test_version_and_overview(run: Run) -> None:
    assert run("--version").out == f"kseg {__version__}\n"
    overview = run("--help").out
    assert all(f"\n  {name} " in overview for name in COMMANDS)
    assert run().code == 2


def test_help_does_not_wait_for_torch() -> None:
    program = "import sys, kseg.pipelines.command; print({'torch', 'monai', 'matplotlib'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_the_default_bundle_is_shipped() -> None:
    assert (find_bundle(command.DEFAULT_BUNDLE) / "configs" / "inference.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("segment", "in"), "kseg: segment: expected INPUT and OUT, or --merge OUT, received less"),
        (("segment", "in", "out", "--nope"), "Error: No such option: --nope"),
        (("segment", "in", "out", "--seed", "x"), "Error: Invalid value for '--seed': "),
        (("segment", "in", "out", "--seed", "-1"), "Error: Invalid value for '--seed': "),
        (
            ("segment", "in", "out", "--fraction", "2"),
            "kseg: fraction: expected a number in (0, 1], received 2.0",
        ),
        (
            ("segment", "nowhere", "out"),
            "kseg: nowhere: find inputs: expected a file or a folder, received nothing there",
        ),
        (
            ("segment", "in/a.txt", "out"),
            "kseg: in/a.txt: find inputs: expected a file ending in .h5, .mrd, .nii, .nii.gz, .dcm, received .txt",
        ),
        (
            ("segment", "in", "in"),
            "kseg: in: find inputs: expected an output folder other than the input, received the same folder",
        ),
        (
            ("segment", "in", "."),
            "kseg: in: find inputs: expected an output folder other than the input, received ., which holds it",
        ),
        (("segment", "in", "in/a.txt"), "Error: Invalid value for 'OUT': "),
        (("demo", "in/a.txt"), "Error: Invalid value for 'OUT': "),
        (("evaluate", "in", "in", "--output", "in"), "Error: Invalid value for '--output': "),
        (("report", "in", "in/a.txt", "--output", "in"), "Error: Invalid value for '--output': "),
        (
            ("segment", "in", "in/a.txt/out"),
            "kseg: in/a.txt/out/results.jsonl: record results: expected a place to write to, received Not a dir",
        ),
        (("segment", "in", "out", "--bundle", "nowhere"), "kseg: nowhere: read bundle: expected one of "),
        (("simulate", "in", "out", "--pattern", "spiral"), "Error: Invalid value for '--pattern': "),
        (
            ("simulate", "in", "out", "--ti", "1"),
            "kseg: sequence: expected an inversion time for inversion_recovery alone",
        ),
        (
            ("simulate", "in", "out", "--center-lines", "60"),
            "kseg: line mask: expected 0 <= center <= sampled <= 180 lines",
        ),
        (
            ("simulate", "in", "out", "--tissues", "7T"),
            "kseg: 7T: read tissue table: expected one of 1.5T, 3T or ",
        ),
        (
            ("simulate", "nowhere", "out"),
            "kseg: nowhere: find inputs: expected a file or a folder, received nothing there",
        ),
        (
            ("evaluate", "nowhere", "in"),
            "kseg: nowhere: find NIfTI files: expected a folder, received nothing",
        ),
        (("report", "in", "nowhere.csv"), "kseg: nowhere.csv: "),
        (
            ("report", "in", "nowhere.csv", "--max-figures", "-1"),
            "Error: Invalid value for '--max-figures': ",
        ),
        (("study", "in", "in/a.txt"), "Error: Invalid value for 'OUT': "),
        (
            ("study", "in", "out", "--fractions", "0.1;0.3"),
            "kseg: fractions: expected numbers with commas between them, received '0.1;0.3'",
        ),
        (("study", "in", "out", "--noise", "0.1,"), "kseg: noise: expected numbers with commas between them"),
        (
            ("study", "in", "out", "--fractions", "0.1,30"),
            "kseg: fractions: expected different numbers in (0, 1], received 0.1, 30",
        ),
        (("study", "in", "out", "--target", "85"), "kseg: target: expected a Dice in [0, 1], received 85"),
        (("study", "nowhere", "out"), "kseg: nowhere: find inputs: expected a file or a folder"),
        (("brew",), "Error: No such command 'brew'."),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...], message: str, tiny_bundle: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("no k-space")
    kspace_file(tmp_path / "in" / "a.h5")
    before = sorted(tmp_path.rglob("*"))
    if arguments[0] == "segment" and "--bundle" not in arguments:
        arguments = (*arguments, "--bundle", str(tiny_bundle))
    ended = run(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.splitlines()[-1].startswith(message)
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) == (1 if message.startswith("kseg: ") else 4)
    assert sorted(tmp_path.rglob("*")) == before


def no_weights(bundle: Path) -> None:
    (bundle / "models" / "model.pt").unlink()


def cut_weights(bundle: Path) -> None:
    weights = bundle / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:1000])


def other_network(bundle: Path) -> None:
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"]["n_filters"] = 6
    config.write_text(json.dumps(content))


def deeper_network(bundle: Path) -> None:
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"]["n_blocks"] = 2
    config.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (no_weights, "models/model.pt: read bundle: expected a file"),
        (cut_weights, "models/model.pt: check bundle: expected an intact file of "),
        (other_network, "models/model.pt: load weights: expected reconstruction.blocks.0."),
        (deeper_network, "models/model.pt: load weights: expected the "),
    ],
)
def test_weights_that_are_missing_or_not_those_of_the_network(
    harm: Callable[[Path], None], message: str, tiny_bundle: Path, tmp_path: Path, run: Run
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    harm(bundle)
    seal_bundle(bundle)
    kspace_file(tmp_path / "a.h5")
    ended = run("segment", "a.h5", "out", "--bundle", "bundle")
    assert ended.code == 2
    assert ended.err.startswith(f"kseg: bundle/{message}")
    assert len(ended.err.splitlines()) == 1
    assert not list(tmp_path.glob("out/*.nii.gz"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("segment", "in", "out"), "kseg: nothing to do: no input files in in\n"),
        (("simulate", "in", "out"), "kseg: nothing to do: no input files in in\n"),
        (("study", "in", "out"), "kseg: nothing to do: no input files in in\n"),
        (("evaluate", "in", "in"), "kseg: nothing to do: no pair of files in in and in\n"),
    ],
)
def test_nothing_to_do_is_exit_code_3(
    arguments: tuple[str, ...], message: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".hidden.h5").touch()
    ended = run(*arguments)
    assert (ended.code, ended.out, ended.err) == (3, "", message)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_share_without_files_is_told_from_a_folder_without_files(
    tiny_bundle: Path, tmp_path: Path, run: Run
) -> None:
    kspace_file(tmp_path / "in" / "a.h5")
    (empty,) = [shard for shard in ("1/2", "2/2") if not parse_shard(shard).holds("a")]
    ended = run("segment", "in", "out", "--bundle", tiny_bundle, "--shard", empty)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.splitlines()[-1] == f"kseg: nothing to do: no input files in in, share {empty}"


def test_from_heads_to_a_page(small_heads: list[Path], tiny_bundle: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "heads").mkdir()
    shutil.copy(small_heads[0], tmp_path / "heads" / "good.nii.gz")
    write_nifti(tmp_path / "heads" / "bad.nii.gz", np.full((4, 4, 4), 201, np.uint8), np.eye(4))
    ended = run("simulate", "heads", "scans", "--noise", "0.05", "--fraction", "0.4", "--seed", "3")
    assert (ended.code, ended.out) == (1, "simulated: 1, failed: 1\n")
    beside = ("--recurrences", "--probabilities", "--uncertainty")
    ended = run("segment", "scans/kspace", "segmented", "--bundle", tiny_bundle, *beside)
    assert (ended.code, ended.out) == (0, "segmented: 1, failed: 0\n")
    ended = run("evaluate", "segmented", "scans/labels", "--output", "tables/metrics.csv")
    assert ended.code == 0
    assert ended.out.splitlines()[0].split()[:2] == ["class", "Dice"]
    assert ended.out.splitlines()[-2].startswith("expected calibration error: 0.")
    assert ended.out.splitlines()[-1] == "written: tables/metrics.csv"
    pictures = ("--images", "scans/images", "--references", "scans/labels")
    ended = run("report", "segmented", "tables/metrics.csv", *pictures, "--output", "page.html")
    assert (ended.code, ended.out) == (0, "written: page.html\n")
    assert "good" in (tmp_path / "page.html").read_text()


def test_a_study_says_the_cheapest_scan_and_goes_on(
    small_heads: list[Path], tiny_bundle: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "heads").mkdir()
    shutil.copy(small_heads[0], tmp_path / "heads" / "good.nii.gz")
    write_nifti(tmp_path / "heads" / "bad.nii.gz", np.full((4, 4, 4), 201, np.uint8), np.eye(4))
    options = ("--bundle", tiny_bundle, "--fractions", "0.3,0.05", "--noise", "0.1", "--target")
    ended = run("study", "heads", "out", *options, "0")
    assert ended.code == 1
    first, answer, *rest = ended.out.splitlines()
    assert first == "cheapest scan with a mean Dice of at least 0:"
    assert answer.startswith("  10% noise: 5% of k-space (Dice 0.")
    assert rest == ["written: out/study.csv, out/study.png", "studied: 1, failed: 1"]
    # Nothing is measured again: the answer to another question comes at once.
    (tmp_path / "heads" / "bad.nii.gz").unlink()
    ended = run("study", "heads", "out", *options, "1")
    assert ended.code == 0
    assert ended.out.splitlines()[1].startswith("  10% noise: none; best is ")
    record = json.loads((tmp_path / "out" / "results.jsonl").read_text().splitlines()[-1])
    assert (record["measured"], record["found"]) == (0, 2)


def test_a_request_to_stop_ends_like_an_interrupt(run: Run) -> None:
    run("--version")
    with pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
