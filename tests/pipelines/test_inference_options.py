"""Options of a bundle: their values, and what is no value."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.inference_options import InferenceOptions, read_inference_options
from kseg.transforms.errors import InputError


def bundle(folder: Path, **content: Any) -> Path:
    (folder / "configs").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(content))
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    options = read_inference_options(str(bundle(tmp_path, flip=True, temperature=2)))
    assert options == InferenceOptions(flip=True, temperature=2.0)


def test_nothing_written_changes_nothing(tmp_path: Path) -> None:
    assert read_inference_options(str(bundle(tmp_path))) == InferenceOptions(flip=False, temperature=1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"flip": 1}, "expected a flip of true or false, received 1"),
        ({"flip": "$True"}, r"expected a flip of true or false, received '\$True'"),
        ({"temperature": 0}, "expected a positive temperature, received 0"),
        ({"temperature": -1.5}, r"expected a positive temperature, received -1\.5"),
        ({"temperature": math.inf}, "expected a positive temperature, received inf"),
        ({"temperature": math.nan}, "expected a positive temperature, received nan"),
        ({"temperature": True}, "expected a positive temperature, received True"),
        ({"temperature": "1"}, "expected a positive temperature, received '1'"),
        ({"temperature": None}, "expected a positive temperature, received None"),
    ],
)
def test_what_means_nothing_is_refused(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"inference\.json: read bundle: {message}$"):
        read_inference_options(str(bundle(tmp_path, **content)))


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path) / "configs" / "inference.json"
    path.write_text("{'flip': true}")
    with pytest.raises(InputError, match=r"inference\.json: read bundle: expected JSON, received Expecting"):
        read_inference_options(str(tmp_path))
    path.unlink()
    with pytest.raises(
        InputError, match=r"inference\.json: read bundle: expected a file, received No such file"
    ):
        read_inference_options(str(tmp_path))
