import os
import pickle

import pytest

from kseg.transforms.errors import InputError, require_file


def test_message_names_file_stage_expected_and_received_in_one_line():
    error = InputError("a/scan.h5", "read k-space", "rank 4", "rank 2\nand more")
    assert str(error) == "a/scan.h5: read k-space: expected rank 4, received rank 2 and more"


def test_is_a_value_error_with_its_parts():
    with pytest.raises(ValueError, match=r"^scan.h5: read: expected x, received y$") as caught:
        raise InputError("scan.h5", "read", "x", "y")
    error = caught.value
    assert isinstance(error, InputError)
    assert (error.path, error.stage, error.expected, error.received) == ("scan.h5", "read", "x", "y")


def test_survives_pickling_between_worker_processes():
    error = pickle.loads(pickle.dumps(InputError("scan.h5", "read", "x", "y")))
    assert isinstance(error, InputError)
    assert str(error) == "scan.h5: read: expected x, received y"


def test_a_file_with_content_passes(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    require_file(tmp_path / "x", "read")


@pytest.mark.parametrize(
    ("prepare", "expected", "received"),
    [
        (lambda path: None, "a file", "No such file or directory"),
        (lambda path: path.mkdir(), "a file", "a folder"),
        (lambda path: path.touch(), "a file with content", "an empty file"),
        (lambda path: os.mkfifo(path), "a file", "a device or pipe"),
        (lambda path: path.symlink_to(path), "a file", "Too many levels of symbolic links"),
    ],
    ids=["missing", "folder", "empty", "pipe", "loop"],
)
def test_other_paths_are_refused(tmp_path, prepare, expected, received):
    prepare(tmp_path / "x")
    with pytest.raises(InputError, match=rf"/x: read: expected {expected}, received {received}$"):
        require_file(tmp_path / "x", "read")
