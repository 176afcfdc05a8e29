import ast
import builtins
import importlib

import pytest

from kseg.pipelines.expression_names import ALLOWED, ATTRIBUTES, BUILTINS, INERT, METHODS, MODULES

RUN_CODE = {"compile", "eval", "exec", "getattr", "globals", "input", "locals", "open", "setattr", "vars"}
OUTSIDE = {
    "Await",
    "Delete",
    "FormattedValue",
    "JoinedStr",
    "LShift",
    "NamedExpr",
    "Pow",
    "Yield",
    "YieldFrom",
}


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_what_a_module_may_be_used_for_exists(name: str) -> None:
    module, _, member = name.rpartition(".")
    assert hasattr(importlib.import_module(module), member)
    assert module.startswith(tuple(MODULES.values()))
    assert not hasattr(getattr(importlib.import_module(module), member), "__path__")


def test_no_name_leads_out() -> None:
    assert all(hasattr(builtins, name) for name in BUILTINS)
    assert RUN_CODE.isdisjoint(BUILTINS)
    names = METHODS | ATTRIBUTES
    assert [
        name for name in names if name.startswith("_") or name.startswith(("gi_", "cr_", "ag_", "tb_", "f_"))
    ] == []
    assert names & (RUN_CODE | {"format", "hub", "load", "system"}) == set()
    assert [node for node in INERT if node.__name__ in OUTSIDE] == []
    assert not set(INERT) & {ast.Attribute, ast.Call, ast.Constant, ast.Lambda, ast.Name, ast.Subscript}
