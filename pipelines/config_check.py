"""Look through a configuration for what could run code of its author's choice; nothing of it is built."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kseg.pipelines.config_expressions import IMPORTS, RELATIVE, refuse_expression, refuse_reference
from kseg.pipelines.config_paths import refuse_path
from kseg.pipelines.config_targets import refuse_target
from kseg.pipelines.plain_text import plain
from kseg.transforms.errors import InputError

# MONAI takes texts in these for names of code, wherever it lies.
_NAMES_OF_CODE = {"reader", "writer", "merger_cls"}
# These switch a protection off or a debugger on, choose the compiler, or hand out a class as a function, which may
# look up code by whatever text it is called with.
_SWITCHES = {
    "_debug_",
    "_mode_",
    "allow_pickle",
    "compile_kwargs",
    "pickle_module",
    "trust",
    "trust_remote_code",
    "trust_repo",
    "weights_only",
}

Id = tuple[str, ...]
Finding = tuple[Id, str, str]
"""What is refused: where it stands, what is expected, what was received."""


def check_config(content: object, path: Path, stage: str) -> list[InputError]:
    """Check a configuration of a workflow.

    Args:
        content: what was read.
        path: the file that it was read from, for messages.
        stage: the step that wants it, for messages.

    Returns:
        What is refused; empty where nothing is.
    """
    return _check(content, "a configuration", _findings, path, stage)


def check_metadata(content: object, path: Path, stage: str) -> list[InputError]:
    """Check metadata: MONAI evaluates expressions there too, though nothing needs them.

    Args:
        content: what was read.
        path: the file that it was read from, for messages.
        stage: the step that wants it, for messages.

    Returns:
        What is refused; empty where nothing is.
    """
    return _check(content, "metadata", _metadata_findings, path, stage)


def _check(
    content: object, kind: str, findings: Callable[[Any, Id], Iterator[Finding]], path: Path, stage: str
) -> list[InputError]:
    if not isinstance(content, dict):
        return [InputError(path, stage, f"{kind}, items by name", type(content).__name__)]
    return [
        InputError(path, stage, expected, f"{received} in {plain('::'.join(id_))}")
        for id_, expected, received in findings(content, ())
    ]


def _metadata_findings(value: Any, id_: Id) -> Iterator[Finding]:
    for place, text in _texts(value, id_):
        if "$" in text or text.startswith(("%", "@")) or "_target_" in text:
            yield place, "metadata without expressions and targets", plain(text)


def _findings(value: Any, id_: Id) -> Iterator[Finding]:
    for key, item in _children(value):
        # Of an override such as `train#trainer#_target_` the last name counts. MONAI ignores spaces around names.
        names = key.removeprefix("+").replace("#", "::").split("::")
        place = (*id_, *map(str.strip, names))
        name = place[-1]
        if name == "_target_":
            reason = "no text" if not isinstance(item, str) else refuse_target(item)
            if reason:
                yield place, "the name of a class that bundles may use", f"{plain(item)} ({reason})"
        elif next((each for each in reversed(place) if not _is_index(each)), "") in _NAMES_OF_CODE:
            yield from _names_of_code(item, place)
        elif name in _SWITCHES:
            yield place, "no switch of a protection", name
        elif name == "_disabled_" and not isinstance(item, str | bool):
            yield place, "true, false or an expression", plain(item)
        if isinstance(item, str):
            yield from _in_text(item, place)
        else:
            yield from _findings(item, place)


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    return [(str(index), item) for index, item in enumerate(value)] if isinstance(value, list) else []


def _is_index(name: str) -> bool:
    try:
        int(name)
    except ValueError:
        return False
    return True


def _names_of_code(value: Any, place: Id) -> Iterator[Finding]:
    # Items of a list come here on their own. MONAI takes the keys of a dictionary, and whatever a component holds.
    if isinstance(value, list) or value is None:
        return
    reason = refuse_target(value) if isinstance(value, str) else "no text"
    if reason:
        yield place, "the name of a class that bundles may use", f"{plain(value)} ({reason})"


def _in_text(text: str, place: Id) -> Iterator[Finding]:
    if text.startswith("$"):
        if reason := refuse_expression(text[1:], imports=place[0] == IMPORTS):
            yield place, "an expression of the safe subset", reason
    elif text.startswith("%"):
        # A macro that names a file finds it in the current folder, not in the bundle.
        if reason := refuse_reference(text[1:]):
            yield place, "a macro of this configuration", reason
    elif text.startswith("@"):
        if reason := refuse_reference(text[1:]):
            yield place, "a reference to an item of the configuration", reason
    elif RELATIVE.search(text):
        yield place, "a text without relative references", plain(text)
    elif reason := refuse_path(text):
        yield place, "a place below the bundle or a folder that its user chooses", reason


def _texts(value: Any, id_: Id) -> Iterator[tuple[Id, str]]:
    for key, item in _children(value):
        yield (*id_, key), key
        if isinstance(item, str):
            yield (*id_, key), item
        yield from _texts(item, (*id_, key))
