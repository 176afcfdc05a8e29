import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

WRITE_HALF_THEN_WAIT = """
import sys, time
from kseg.transforms.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary, temporary.open("wb") as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def test_file_appears_under_its_name_only_when_complete(tmp_path: Path):
    final = tmp_path / "sub.01.nii.gz"
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".sub.01.nii.gz")
        assert not final.exists()
    assert final.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [final.name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path, error: type[BaseException]):
    final = tmp_path / "x.h5"
    final.write_bytes(b"old")

    def write_half() -> None:
        with atomic_path(final) as temporary:
            temporary.write_bytes(b"half")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write_half()
    assert final.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.h5"]


def test_an_existing_file_is_replaced_and_permissions_follow_the_umask(tmp_path: Path):
    final = tmp_path / "x.h5"
    final.write_bytes(b"old")
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"new")
    assert final.read_bytes() == b"new"
    plain = tmp_path / "plain"
    plain.touch()
    assert final.stat().st_mode == plain.stat().st_mode


def test_missing_folder_is_named(tmp_path: Path):
    message = r"none/x.h5: write: expected an existing folder .*none, received none$"
    with pytest.raises(InputError, match=message), atomic_path(tmp_path / "none" / "x.h5"):
        pass


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"x\.h5"), atomic_path(tmp_path / "x.h5"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL exists on POSIX only")
def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path: Path):
    final = tmp_path / "x.h5"
    command = [sys.executable, "-c", WRITE_HALF_THEN_WAIT, str(final)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not final.exists()
    assert [name.endswith(".x.h5") for name in os.listdir(tmp_path)] == [True]
