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
    options = read_inference_options(str(bundle(tmp_path, flip=True, temperature=2, precision="auto")))
    assert options == InferenceOptions(flip=True, temperature=2.0, precision="auto")


def test_nothing_written_changes_nothing(tmp_path: Path) -> None:
    assert read_inference_options(str(bundle(tmp_path))) == InferenceOptions()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"flip": 1}, "flip: expected true or false, received 1"),
        ({"flip": "$True"}, r"flip: expected true or false, received '\$True'"),
        ({"temperature": 0}, "temperature: expected a positive number, received 0"),
        ({"temperature": -1.5}, r"temperature: expected a positive number, received -1\.5"),
        ({"temperature": math.inf}, "temperature: expected a positive number, received inf"),
        ({"temperature": math.nan}, "temperature: expected a positive number, received nan"),
        ({"temperature": True}, "temperature: expected a positive number, received True"),
        ({"temperature": "1"}, "temperature: expected a positive number, received '1'"),
        ({"precision": "float16"}, "precision: expected one of auto, float32, bfloat16, received 'float16'"),
        ({"temperature": None}, "temperature: expected a positive number, received None"),
    ],
)
def test_what_means_nothing_is_refused(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"inference\.json: read bundle: expected valid options, received {message}$"
    ):
        read_inference_options(str(bundle(tmp_path, **content)))


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path) / "configs" / "inference.json"
    path.write_text("{'flip': true}")
    with pytest.raises(
        InputError, match=r"inference\.json: read bundle: expected JSON, received .JSONDecodeError: "
    ):
        read_inference_options(str(tmp_path))
    path.unlink()
    with pytest.raises(
        InputError, match=r"inference\.json: read bundle: expected a file, received No such file"
    ):
        read_inference_options(str(tmp_path))
