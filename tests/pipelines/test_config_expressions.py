import warnings

import numpy as np
import pytest
from monai.bundle import ConfigParser, ReferenceResolver

from kseg.pipelines.config_expressions import LONGEST, _as_evaluated, refuse_expression, refuse_reference


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2 * 3 - 4 / 5 // 6 % 7",
        "not @a and (@b or @c::0 in [1, 2])",
        "@train#dataset",
        "@bundle_root + '/models/model.pt'",
        "[{'label_map': path} for path in @label_maps[:-@validation_heads]]",
        "dict(item for item in {'a': @a}.items() if item[1] is not None) | @sizes",
        "[@train#progress, *@train#handlers]",
        "lambda output: output['loss']",
        "@network.to(@device, memory_format=torch.channels_last)",
        "torch.device('cuda', int(os.environ['LOCAL_RANK']))",
        "@slices[dist.get_rank()::dist.get_world_size()]",
        "sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')), key=os.path.basename)",
        "monai.handlers.from_engine(['pred', 'label'])",
        "np.float32",
        "max((x, y) for x, y in zip([1], {2}))",
        "max([1, 2], key=lambda x: -x) + min([1, 2], key=abs)",
        "dict(key=@a)",
        "sum(x * x for x in range(3) if x > 1 or -x < 2)",
        "'a\\d'",
        "None",
    ],
)
def test_what_workflows_need_is_allowed(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refuse_expression(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "the name 'x'"),
        ("torch", "the name 'torch'"),
        ("[torch]", "the name 'torch'"),
        ("torch.load('x')", "'torch.load'"),
        ("torch.device.__init__", "'torch.device.__init__'"),
        ("np.load('x', allow_pickle=True)", "'numpy.load'"),
        ("os.environ", "'os.environ'"),
        ("os.environ[@name]", "the environment variable \"__local_refs['name']\""),
        ("os.environ.get('HOME')", "'os.environ.get'"),
        ("@a.__class__", "the attribute '__class__'"),
        ("@a._private", "the attribute '_private'"),
        ("@a.format(@b)", "the attribute 'format'"),
        ("@a()", "a call of \"__local_refs['a']\""),
        ("@a['x']()", "a call of \"__local_refs['a']['x']\""),
        ("(lambda: 1)()", "a call of 'lambda: 1'"),
        ("(lambda sorted: sorted(1))", "the variable 'sorted'"),
        ("[f(1) for f in @functions]", "a call of 'f'"),
        ("[0 for torch in @modules]", "the variable 'torch'"),
        ("lambda __local_refs: 0", "the variable '__local_refs'"),
        ("lambda x=open: 0", "the name 'open'"),
        ("lambda *, x=open: 0", "the name 'open'"),
        ("[0 for @a.data in [1]]", "an assignment to \"__local_refs['a'].data\""),
        ("[0 for os.environ['RANK'] in [1]]", "an assignment to \"os.environ['RANK']\""),
        ("dict(**@a)", "a call with `**`"),
        ("sorted(['x'], key=@a)", "the function \"__local_refs['a']\" as `key`"),
        ("min(['x'], key=@a.run)", "the function \"__local_refs['a'].run\" as `key`"),
        ("max(f for f in [max([1], key=f)])", "the function 'f' as `key`"),
        ("'%#a'", "a relative reference"),
        ("'%::a'", "a relative reference"),
        ("@::a", "a relative reference"),
        ("2 ** 99", "the construct Pow"),
        ("1 << 99", "the construct LShift"),
        ("@", "'', no absolute name of an item"),
        ("@@", "no Python expression (SyntaxError)"),
        ("@#a", "a relative reference"),
        ("__local_refs", "the name '__local_refs'"),
        ("__local_refs[0]", "a reference that is computed"),
        ("__local_refs['imports']", "a reference to an imported module"),
        ("__local_refs['a b']", "'a b', no absolute name of an item"),
        ("@imports", "a reference to an imported module"),
        ("'__x__'", "the text '__x__'"),
        ("'@x'", "no Python expression (SyntaxError)"),
        ("'' + '/etc/passwd'", "the absolute path '/etc/passwd'"),
        ("'/etc/passwd'", "the absolute path '/etc/passwd'"),
        ("@a + '/../x'", "the path '../x' upwards"),
        ("os.path.join(@a, '/etc')", "the absolute path '/etc'"),
        ("yield", "the construct Yield"),
        ("x = 1", "a statement, Assign"),
        ("del x", "a statement, Delete"),
        ("1; 2", "several statements"),
        ("", "several statements"),
        (" 1", "no Python expression (IndentationError)"),
        ("1 +", "no Python expression (SyntaxError)"),
        ("\x00", "no Python expression (SyntaxError)"),
        ("'\ud800'", "no Python expression (UnicodeEncodeError)"),
        ("[" * 400 + "]" * 400, "no Python expression (SyntaxError)"),
        ("1" * (LONGEST + 1), f"{LONGEST + 1} characters"),
        ("import os", "an import outside of `imports`"),
    ],
)
def test_the_rest_is_refused_with_the_reason(text: str, reason: str) -> None:
    received = refuse_expression(text)
    if reason.startswith("no Python expression"):  # which error depends on the version of Python
        assert received is not None
        assert received.startswith("no Python expression")
    else:
        assert received == reason


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("import torch", True),
        ("import numpy as np", True),
        ("import torch.distributed as dist", True),
        ("import os", True),
        ("import os.path as len", False),
        ("import torch.hub", False),
        ("import torch as np", False),
        ("import os, sys", False),
        ("import sys", False),
        ("import scripts", False),
        ("from os import path", False),
        ("from . import x", False),
    ],
)
def test_modules_are_imported_under_their_own_names(text: str, allowed: bool) -> None:
    assert (refuse_expression(text, imports=True) is None) == allowed


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        *[(name, True) for name in ("a", "a::0::b", "a#0", "imports_of_mine")],
        *[(name, False) for name in ("", "#a", "::a", "a::", "imports", "imports::0", "../a.json#x")],
    ],
)
def test_references_name_an_item(name: str, allowed: bool) -> None:
    assert (refuse_reference(name) is None) == allowed


@pytest.mark.parametrize(
    "text",
    ["@a + @ab + @a::b", "'@a' + @a#b", "@", "@@", "x @a", "@a@ab", "#@a", "'@f{1}@f'", "@a.b @a::b::c"],
)
def test_what_is_checked_is_what_monai_evaluates(text: str) -> None:
    found = ReferenceResolver.match_refs_pattern("$" + text)
    evaluated = ReferenceResolver.update_refs_pattern("$" + text, dict.fromkeys(found))
    assert "$" + _as_evaluated(text) == evaluated


def test_no_mixture_of_pieces_breaks_the_check_or_gets_through_with_a_payload(tmp_path) -> None:
    trace = tmp_path / "trace"
    pieces = [
        "@a",
        "@f",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ",",
        " ",
        "f",
        "or",
        "for x in",
        "lambda x:",
        "x",
    ]
    pieces += [
        "[0]",
        ".data",
        ".__class__",
        "len",
        "torch",
        "exec",
        "=",
        ":",
        "::",
        "#",
        "\\",
        "\n",
        "if",
        "else",
    ]
    pieces += [f"open({str(trace)!r}, 'w')"] * 6
    generator = np.random.default_rng(0)
    passed = 0
    for _ in range(3000):
        text = "".join(pieces[i] for i in generator.integers(0, len(pieces), int(generator.integers(1, 9))))
        if refuse_expression(text) is None:
            passed += 1
            try:
                ConfigParser({"a": 1, "f": 2, "x": "$" + text}).get_parsed_content("x")
            except (RuntimeError, ValueError, SyntaxError, KeyError, TypeError):
                continue
    assert passed > 50
    assert not trace.exists()
