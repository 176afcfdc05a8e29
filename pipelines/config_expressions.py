"""The part of Python that `$` expressions of a bundle may use: arithmetic on what the configuration says.

What is checked is what MONAI evaluates. It puts `__local_refs['id']` in the place of every `@id` before it calls
`eval`, inside of quotes too, where that ends the text and starts code; so the same is done here first. Relative
references, `@#id` and `%#id`, are refused: MONAI puts keys of the configuration in their place, which are any text.
"""

import ast
import builtins
import re
import warnings
from collections.abc import Iterator

from kseg.pipelines.config_paths import refuse_path
from kseg.pipelines.expression_names import (
    ALLOWED,
    ATTRIBUTES,
    BUILTINS,
    ENVIRONMENT,
    INERT,
    METHODS,
    MODULES,
)
from kseg.pipelines.plain_text import plain

LONGEST = 1000
# MONAI offers the modules of `imports` here, as objects.
IMPORTS = "imports"
RELATIVE = re.compile(r"[@%](#|::)")

_CALL_THEIR_KEY = {"max", "min", "sorted"}
_REFERENCES = "__local_refs"
_REFERENCE = re.compile(r"@\w*(?:::\w*)*")
_IDENTIFIER = re.compile(r"\w+(?:::\w+)*")


class _RefusedError(ValueError):
    """Something outside of the subset; its text says what."""


def refuse_expression(text: str, imports: bool = False) -> str | None:
    """Say why an expression of a bundle is refused; nothing is evaluated.

    Args:
        text: what follows the `$`.
        imports: it stands below `imports`, where modules may be imported.

    Returns:
        What is outside of the subset, or None.

    Example:
        >>> refuse_expression("torch.device('cuda') if torch.cuda.is_available() else @device")
        >>> refuse_expression("().__class__.__bases__[0].__subclasses__()")
        "the attribute '__subclasses__'"
    """
    if len(text) > LONGEST:
        return f"{len(text)} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            body = ast.parse(_as_evaluated(text)).body
        if len(body) != 1:
            return "several statements"
        if isinstance(body[0], ast.Import | ast.ImportFrom):
            return _refuse_import(body[0]) if imports else f"an import outside of `{IMPORTS}`"
        if not isinstance(body[0], ast.Expr):
            return f"a statement, {type(body[0]).__name__}"
        if RELATIVE.search(text):
            return "a relative reference"
        _check(body[0].value, _bound_names(body[0].value))
    except _RefusedError as error:
        return str(error)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"no Python expression ({type(error).__name__})"
    return None


def refuse_reference(name: str) -> str | None:
    """Say why a bundle may not refer to something.

    Args:
        name: what follows the `@` or the `%`, its parts separated by `::` or `#`.

    Example:
        >>> refuse_reference("train#dataset")
        >>> refuse_reference("imports#0")
        'a reference to an imported module'
    """
    name = name.replace("#", "::")
    if not _IDENTIFIER.fullmatch(name):
        return f"{plain(name)}, no absolute name of an item"
    if name.split("::")[0] == IMPORTS:
        return "a reference to an imported module"
    return None


def _as_evaluated(text: str) -> str:
    text = text.replace("#", "::")
    for found in sorted(_REFERENCE.findall(text), key=len, reverse=True):
        text = text.replace(found, f"{_REFERENCES}['{found[1:]}']")
    return text


def _refuse_import(node: ast.Import | ast.ImportFrom) -> str | None:
    name = node.names[0]
    known = MODULES.get(name.asname or name.name)
    if isinstance(node, ast.Import) and len(node.names) == 1 and name.name == known:
        return None
    return f"the import {plain(ast.unparse(node))}"


def _bound_names(tree: ast.expr) -> set[str]:
    bound = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    # Outside of its own loop the same name means what it always means.
    taken = sorted(
        name for name in bound if name in MODULES or hasattr(builtins, name) or name.startswith("_")
    )
    if taken:
        raise _RefusedError(f"the variable {plain(taken[0])}")
    return bound


def _check(node: ast.AST, bound: set[str]) -> None:
    """Refuse a node, or what is below it."""
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
        raise _RefusedError(f"an assignment to {plain(ast.unparse(node))}")
    if _is_reference(node):
        return
    below: Iterator[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Constant):
        _check_constant(node.value)
    elif isinstance(node, ast.Name):
        if node.id not in bound and node.id not in BUILTINS:
            raise _RefusedError(f"the name {plain(node.id)}")
    elif isinstance(node, ast.Attribute):
        if _in_module(node):
            return
        if node.attr not in ATTRIBUTES | METHODS:
            raise _RefusedError(f"the attribute {plain(node.attr)}")
    elif isinstance(node, ast.Call):
        _check_called(node.func, bound)
        if any(keyword.arg is None for keyword in node.keywords):
            raise _RefusedError("a call with `**`")
        if isinstance(node.func, ast.Name) and node.func.id in _CALL_THEIR_KEY:
            _check_keys(node.keywords, bound)
        below = iter([*node.args, *(keyword.value for keyword in node.keywords)])
    elif isinstance(node, ast.Subscript):
        if _dotted(node.value) == "os.environ":
            _check_environment(node.slice)
            return
    elif isinstance(node, ast.BinOp):
        if (
            isinstance(node.op, ast.Add)
            and not isinstance(node.left, ast.Constant)
            and _is_suffix(node.right)
        ):
            below = iter([node.left])
    elif isinstance(node, ast.Lambda):
        below = iter([*node.args.defaults, *filter(None, node.args.kw_defaults), node.body])
    elif not isinstance(node, INERT):
        raise _RefusedError(f"the construct {type(node).__name__}")
    for child in below:
        _check(child, bound)


def _is_reference(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Subscript) and _dotted(node.value) == _REFERENCES):
        return False
    name = node.slice.value if isinstance(node.slice, ast.Constant) else None
    reason = refuse_reference(name) if isinstance(name, str) else "a reference that is computed"
    if reason:
        raise _RefusedError(reason)
    return True


def _check_called(function: ast.expr, bound: set[str]) -> None:
    if isinstance(function, ast.Name) and function.id in BUILTINS and function.id not in bound:
        return
    if isinstance(function, ast.Attribute):
        if _in_module(function):
            return
        if function.attr in METHODS:
            _check(function.value, bound)
            return
        raise _RefusedError(f"the attribute {plain(function.attr)}")
    raise _RefusedError(f"a call of {plain(ast.unparse(function))}")


def _check_keys(keywords: list[ast.keyword], bound: set[str]) -> None:
    """Refuse a function that an object of the configuration brings along, and that nobody looked at."""
    for keyword in keywords:
        value = keyword.value
        listed = (
            isinstance(value, ast.Lambda)
            or (isinstance(value, ast.Name) and value.id in BUILTINS - bound)
            or (isinstance(value, ast.Attribute) and _in_module(value))
        )
        if keyword.arg == "key" and not listed:
            raise _RefusedError(f"the function {plain(ast.unparse(value))} as `key`")


def _in_module(node: ast.Attribute) -> bool:
    """Whether it is an allowed member of a module; that of a module which is not allowed is refused."""
    dotted = _dotted(node)
    if dotted is None:
        return False
    first, _, rest = dotted.partition(".")
    if first not in MODULES:
        return False
    full = f"{MODULES[first]}.{rest}"
    if full not in ALLOWED:
        raise _RefusedError(plain(full))
    return True


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else None
    return f"{inner}.{node.attr}" if inner is not None and isinstance(node, ast.Attribute) else None


def _check_environment(node: ast.AST) -> None:
    if not (isinstance(node, ast.Constant) and node.value in ENVIRONMENT):
        raise _RefusedError(f"the environment variable {plain(ast.unparse(node))}")


def _is_suffix(node: ast.AST) -> bool:
    """Whether it is a text such as '/models/model.pt', which is put behind a folder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/"):
        _check_constant(node.value.lstrip("/"))
        return True
    return False


def _check_constant(value: object) -> None:
    reason = refuse_path(value) if isinstance(value, str) else None
    if reason:
        raise _RefusedError(reason)
    if isinstance(value, str) and "__" in value:
        raise _RefusedError(f"the text {plain(value)}")
