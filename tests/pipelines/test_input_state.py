import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kseg.pipelines.input_state import input_sha256, input_state
from kseg.transforms.errors import InputError


def test_a_file_is_its_own_state(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"image")
    os.utime(path, ns=(7, 8))
    told = hashlib.sha256(b'[["a.nii.gz", 5, 8]]').hexdigest()
    assert input_state([path]) == (5, told)
    assert input_sha256([path]) == hashlib.sha256(b"image").hexdigest()


def test_any_file_of_a_series_changes_its_state(
    save_series: Callable[..., list[Path]], tmp_path: Path
) -> None:
    paths = save_series(tmp_path, np.ones((4, 4, 3)), np.eye(4))
    before = input_state([paths[0]]), input_sha256([paths[0]])
    assert (input_state([paths[2]]), input_sha256([paths[2]])) == before
    paths[1].write_bytes(paths[1].read_bytes() + b"\0\0")
    after = input_state([paths[0]]), input_sha256([paths[0]])
    assert after[0][0] == before[0][0] + 2
    assert after[0][1] != before[0][1]
    assert after[1] != before[1]
    paths[2].unlink()
    assert input_sha256([paths[0]]) not in (before[1], after[1])
    assert input_state([paths[0]])[0] < before[0][0]


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        input_state([tmp_path / "gone.nii.gz"])
    with pytest.raises(InputError, match=r"gone\.dcm: read DICOM: expected a file, received No such file"):
        input_state([tmp_path / "gone.dcm"])


def test_all_files_of_a_case_count(tmp_path: Path) -> None:
    first, second = tmp_path / "a_T1w.nii.gz", tmp_path / "a_T2w.nii.gz"
    first.write_bytes(b"first")
    second.write_bytes(b"2nd")
    os.utime(second, ns=(1, 9))
    states = set()
    # Their size in all and the time of the last change are the same.
    for time in (5, 6):
        os.utime(first, ns=(1, time))
        size, state = input_state([first, second])
        assert size == 8
        states.add(state)
    assert len(states) == 2
    both = hashlib.sha256(b"first").hexdigest() + hashlib.sha256(b"2nd").hexdigest()
    assert input_sha256([first, second]) == hashlib.sha256(both.encode()).hexdigest()
