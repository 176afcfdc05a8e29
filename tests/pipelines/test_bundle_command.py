import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from kseg.pipelines.bundle_command import bundle_app
from kseg.pipelines.bundle_files import MANIFEST
from kseg.pipelines.digest import file_sha256
from kseg.transforms.errors import InputError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    (root / "configs").mkdir(parents=True)
    (root / "configs/inference.json").write_text('{"a": 1}')
    return root


def test_a_shipped_bundle_is_clean_by_name() -> None:
    ended = CliRunner().invoke(bundle_app, ["check", "brain_kspace_segmentation"])
    assert ended.exit_code == 0
    assert re.fullmatch(rf"clean: .*brain_kspace_segmentation, {MANIFEST} [0-9a-f]{{64}}\n", ended.stdout)


def test_findings_are_lines_and_an_exit_code(bundle: Path) -> None:
    (bundle / "configs/inference.json").write_text('{"a": "$x", "b": "$y"}')
    ended = CliRunner().invoke(bundle_app, ["check", str(bundle)])
    assert ended.exit_code == 1
    lines = ended.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{bundle}/{MANIFEST}",
        *[f"{bundle}/configs/inference.json"] * 2,
    ]
    assert ended.stderr == f"refused: {bundle}: 3 findings\n"


def test_a_sealed_bundle_is_clean_until_it_changes(bundle: Path) -> None:
    sealed = CliRunner().invoke(bundle_app, ["seal", str(bundle)])
    assert sealed.stdout == f"sealed: {bundle}, {MANIFEST} {file_sha256(bundle / MANIFEST)}\n"
    assert CliRunner().invoke(bundle_app, ["check", str(bundle)]).exit_code == 0
    (bundle / "configs/inference.json").write_text('{"a": 2}')
    ended = CliRunner().invoke(bundle_app, ["check", str(bundle)])
    assert (ended.exit_code, len(ended.stdout.splitlines())) == (1, 1)


def test_weights_are_averaged_into_a_file(tmp_path: Path) -> None:
    for name, value in (("a.pt", 1.0), ("b.pt", 4.0)):
        torch.save({"weight": torch.tensor([value])}, tmp_path / name)
    files, output = [str(tmp_path / name) for name in ("a.pt", "b.pt")], tmp_path / "mean.pt"
    ended = CliRunner().invoke(bundle_app, ["average", *files, "--output", str(output)])
    assert ended.stdout == f"written: {output}, the mean of 2 files\n"
    assert torch.load(output)["weight"].item() == 2.5
    assert CliRunner().invoke(bundle_app, ["average", "--output", str(output)]).exit_code == 2


@pytest.mark.parametrize("command", ["check", "seal"])
def test_usage(command: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(bundle_app, [command]).exit_code == 2
    ended = CliRunner().invoke(bundle_app, [command, str(tmp_path / "none")])
    assert isinstance(ended.exception, InputError)  # which `kseg` shows as one line, with exit code 2
    assert "Example: kseg bundle" in CliRunner().invoke(bundle_app, [command, "--help"]).stdout
