import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kseg.pipelines.bundle_files import MANIFEST, list_bundle_files
from kseg.pipelines.bundle_seal import check_seal, seal_bundle
from kseg.pipelines.digest import file_sha256
from kseg.transforms.errors import InputError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name in ("LICENSE", "configs/a b.json", "eval/out.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def findings(root: Path) -> list[str]:
    return [
        str(finding).removeprefix(f"{root}/").replace(": s: expected the file that was sealed, received", ":")
        for finding in check_seal(root, list_bundle_files(root, "s"), "s")
    ]


def test_a_sealed_bundle_is_as_it_was(bundle: Path) -> None:
    digest = seal_bundle(bundle)
    assert digest == file_sha256(bundle / MANIFEST) == seal_bundle(bundle)
    lines = [f"{file_sha256(bundle / name)}  {name}" for name in ("LICENSE", "configs/a b.json")]
    assert (bundle / MANIFEST).read_text().splitlines() == lines
    assert findings(bundle) == []
    (bundle / "eval/out.csv").write_text("changed")
    assert findings(bundle) == []


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_reads_the_list(bundle: Path) -> None:
    seal_bundle(bundle)
    check = ["sha256sum", "--check", "--strict", MANIFEST]
    assert subprocess.run(check, cwd=bundle, capture_output=True, check=False).returncode == 0
    (bundle / "LICENSE").write_text("changed")
    assert subprocess.run(check, cwd=bundle, capture_output=True, check=False).returncode == 1


def change(root: Path) -> None:
    (root / "LICENSE").write_text("changed")


def add(root: Path) -> None:
    (root / "NOTICE").write_text("new")


def remove(root: Path) -> None:
    (root / "LICENSE").unlink()


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (change, "LICENSE: another content"),
        (add, f"NOTICE: one that is not in {MANIFEST}"),
        (remove, "LICENSE: none"),
    ],
)
def test_what_changed_is_named(harm: Callable[[Path], None], line: str, bundle: Path) -> None:
    seal_bundle(bundle)
    harm(bundle)
    assert findings(bundle) == [line]
    seal_bundle(bundle)
    assert findings(bundle) == []


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ("x\n", "'x'"),
        ("0" * 64 + "  a\n" + "1" * 64 + "  a\n", f"'{'1' * 64}  a'"),
        ("0" * 63 + "g  a\n", f"'{'0' * 63}g  a'"),
        ("\xff", "\"'utf-8' codec"),
        ("x" * 300_000, "'more than 262144 bytes'"),
    ],
)
def test_a_damaged_list_is_refused(content: str, received: str, bundle: Path) -> None:
    (bundle / MANIFEST).write_text(content, encoding="latin-1")
    (line,) = findings(bundle)
    assert line.startswith(f"{MANIFEST}: s: expected lines of a SHA-256 and a name, received {received}")


def test_names_in_the_list_are_never_opened(bundle: Path) -> None:
    outside = bundle.parent / "outside"
    outside.write_text("x")
    seal_bundle(bundle)
    with (bundle / MANIFEST).open("a") as file:
        file.write(
            f"{file_sha256(outside)}  ../outside\n{file_sha256(outside)}  {outside}\n{'0' * 64}  a\x1b[2J\n"
        )
    lines = findings(bundle)
    assert len(lines) == 3
    assert all(line.endswith(": none") and line.isprintable() for line in lines)


def test_a_bundle_without_a_list_is_refused(bundle: Path) -> None:
    expected = (
        f"{MANIFEST}: s: expected a list of the bundle's files; `kseg bundle seal` writes it, received none"
    )
    assert findings(bundle) == [expected]


def test_what_no_bundle_may_have_is_not_sealed(bundle: Path) -> None:
    (bundle / "a.py").touch()
    expected = re.escape(f"{bundle}/a.py: seal bundle: expected a file of a bundle, received Python")
    with pytest.raises(InputError, match=expected):
        seal_bundle(bundle)
    assert not (bundle / MANIFEST).exists()


def test_a_list_that_cannot_be_written_is_told(bundle: Path) -> None:
    (bundle / MANIFEST).mkdir()
    with pytest.raises(
        InputError, match="seal bundle: expected files that can be read and a list that can be wr"
    ):
        seal_bundle(bundle)


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_a_list_that_is_no_file_is_not_opened(kind: str, bundle: Path) -> None:
    path = bundle / MANIFEST
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    (line,) = findings(bundle)
    assert line.endswith("expected a list of the bundle's files; `kseg bundle seal` writes it, received none")
