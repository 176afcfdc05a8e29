"""The examples in the docstrings, run by import name.

`pytest --doctest-modules transforms` would load every module a second time under the name of its folder.
"""

import doctest
import importlib
import pkgutil

import pytest

MODULES = [
    info.name
    for room in ("transforms", "networks", "pipelines", "bundles")
    for info in pkgutil.iter_modules(importlib.import_module(f"kseg.{room}").__path__, f"kseg.{room}.")
]


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("name", ["kseg", *MODULES])
def test_examples_show_what_they_say(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0
