import re
from pathlib import Path

import pytest

from kseg.pipelines.config_check import check_config, check_metadata

PATH = Path("a.json")


def config_findings(content: object) -> list[str]:
    return [str(finding) for finding in check_config(content, PATH, "s")]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"imports": ["$import os"], "a": 1, "b": [None, 2.5, True, {"c": "text"}]},
        {"a": {"_target_": "Compose", "transforms": [], "_disabled_": "$not @b"}},
        {
            "a": {
                "_target_": "torch.nn.ReLU",
                "_disabled_": True,
                "_desc_": "why",
                "_requires_": ["@b", "@c#0"],
            }
        },
        {"a": "@b::0", "b": "%c#d", "c": "50 %"},
        {
            "a": {
                "_target_": "LoadImaged",
                "keys": "x",
                "reader": ["NibabelReader", "ITKReader"],
            }
        },
        {
            "a": {"_target_": "LoadImaged", "reader": None},
            "a#reader": "ITKReader",
            "b": [{"writer": "ITKWriter"}],
        },
        {"+train#handlers": [{"_target_": "StatsHandler"}], "train#trainer#max_epochs": 3},
    ],
)
def test_configurations_without_findings(content: object) -> None:
    assert config_findings(content) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "a configuration, items by name, received list"),
        (
            {"a": [{"_target_": "os.system"}]},
            "'os.system' (no class of a module that bundles may use) in 'a::0::_tar",
        ),
        ({"a": {"_target_": None}}, "the name of a class that bundles may use, received None (no text) in"),
        ({"a#_target_": "os.system"}, "in 'a::_target_'"),
        ({"_mode_": "debug"}, "no switch of a protection, received _mode_ in '_mode_'"),
        ({"a#_mode_": "callable"}, "no switch of a protection, received _mode_ in 'a::_mode_'"),
        ({"a": {"compile_kwargs": {}}}, "no switch of a protection, received compile_kwargs in"),
        ({"a": {"_disabled_": 1}}, "true, false or an expression, received 1 in 'a::_disabled_'"),
        ({"a": {"_disabled_": {"_target_": "eval"}}}, "true, false or an expression, received {"),
        ({"a": {"_requires_": "$open('x')"}}, "an expression of the safe subset, received a call of 'open'"),
        ({"a": {"reader": "@b"}}, "the name of a class that bundles may use, received '@b' (no dotted name)"),
        ({"a": {"reader": ["ITKReader", "os.system"]}}, "received 'os.system' (no class"),
        ({"a": {"reader": {"_target_": "os.system"}}}, "in 'a::reader::_target_'"),
        ({"a": {"reader": {"_target_": "ITKReader"}}}, "received {'_target_': 'ITKReader'} (no text) in"),
        ({"a# reader #0": "os.system"}, "received 'os.system' (no class of a module that bundles"),
        ({"a#reader#-1": "os.system"}, "received 'os.system' (no class of a module that bundles"),
        ({"a": {"b": "x%#y"}}, "a text without relative references, received 'x%#y' in 'a::b'"),
        (
            {"a#reader#0": "os.system"},
            "received 'os.system' (no class of a module that bundles may use) in 'a::reader::0'",
        ),
        ({"a": {"reader": [["os.system"]]}}, "in 'a::reader::0::0'"),
        ({"a": {"writer": {"os.system": 1}}}, "received {'os.system': 1} (no text) in 'a::writer'"),
        (
            {"a": {"weights_only": False}},
            "no switch of a protection, received weights_only in 'a::weights_only'",
        ),
        ({"network_def#trust": True}, "no switch of a protection, received trust in 'network_def::trust'"),
        ({"a": "@#b"}, "a reference to an item of the configuration, received '::b', no absolute name"),
        (
            {"a": "@imports"},
            "a reference to an item of the configuration, received a reference to an imported mod",
        ),
        (
            {"a": "%/x.json#y"},
            "a macro of this configuration, received '/x.json::y', no absolute name of an item",
        ),
        ({"a": "%x.json"}, "a macro of this configuration, received 'x.json', no absolute name of an item"),
        ({"a": "%"}, "a macro of this configuration, received '', no absolute name of an item"),
        ({"a": "%#b"}, "a macro of this configuration, received '::b', no absolute name of an item"),
        ({"a": {"imports": ["$import os"]}}, "received an import outside of `imports` in 'a::imports::0'"),
        (
            {"a": {"b": "/etc/passwd"}},
            "a place below the bundle or a folder that its user chooses, received the abs",
        ),
        ({"a\x1b[2J": "$x"}, r"received the name 'x' in 'a\x1b[2J'"),
    ],
)
def test_findings_say_what_and_where(content: object, message: str) -> None:
    lines = config_findings(content)
    assert [line for line in lines if line.startswith("a.json: s: expected ") and message in line] != [], (
        lines
    )
    assert all(line.isprintable() for line in lines)


def test_every_finding_is_told() -> None:
    content = {"a": "$x", "b": [{"_target_": "eval", "c": "$y"}], "d": "../e"}
    assert [re.sub(".* in ", "", line) for line in config_findings(content)] == [
        "'a'",
        "'b::0::_target_'",
        "'b::0::c'",
        "'d'",
    ]


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ({"a": "costs 5 $"}, "'costs 5 $' in 'a'"),
        ({"a": ["x", {"$b": 1}]}, "'$b' in 'a::1::$b'"),
        ({"a": {"_target_": "Compose"}}, "'_target_' in 'a::_target_'"),
        ({"a#_target_": "Compose"}, "'a#_target_' in 'a#_target_'"),
        ({"a": "%b"}, "'%b' in 'a'"),
        ({"a": "@b"}, "'@b' in 'a'"),
    ],
)
def test_nothing_in_metadata_is_evaluated(content: object, received: str) -> None:
    (finding,) = check_metadata(content, PATH, "s")
    assert (
        str(finding) == f"a.json: s: expected metadata without expressions and targets, received {received}"
    )


def test_metadata_are_items_by_name() -> None:
    assert check_metadata({"a": ["https://example.org", "/", 1, None], "b": {"c": "me@x"}}, PATH, "s") == []
    (finding,) = check_metadata([], PATH, "s")
    assert str(finding) == "a.json: s: expected metadata, items by name, received list"
