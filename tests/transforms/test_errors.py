import pickle

import pytest
from kseg.transforms.errors import InputError


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
