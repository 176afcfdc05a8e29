from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from kseg.pipelines.config_content import build_content
from kseg.transforms.errors import InputError


def build(config: dict[str, Any]) -> Any:
    return build_content(ConfigParser(config), "part", Path("inference.json"), "a part")


def test_a_part_is_built() -> None:
    assert build({"part": {"_target_": "builtins.complex", "real": 1}}) == 1 + 0j


@pytest.mark.parametrize(
    ("config", "received"),
    [
        ({}, "none$"),
        ({"part": {"_target_": "builtins.range"}}, "TypeError: range expected at least 1 argument, got 0"),
    ],
)
def test_a_part_that_is_missing_or_cannot_be_built_names_the_file(
    config: dict[str, Any], received: str
) -> None:
    message = rf"^inference\.json: read bundle: expected a part, received {received}"
    with pytest.raises(InputError, match=message):
        build(config)
