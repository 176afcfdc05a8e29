"""Read a configuration as plain data: JSON or YAML in which nothing is built, repeated or expanded."""

import json
import os
from pathlib import Path
from typing import Any

import yaml

from kseg.pipelines.plain_text import plain
from kseg.transforms.errors import InputError, require_file

SUFFIXES = (".json", ".yaml", ".yml")
LARGEST = 2**18
DEEPEST = 32

_PLAIN = (dict, list, str, bool, int, float, type(None))


class _RefusedError(ValueError):
    """Something that is no plain data; its text says what."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [(self.construct_object(key, deep=True), None) for key, _ in node.value]
        _without_repetition(pairs)
        return super().construct_mapping(node, deep)


def read_plain(path: Path, stage: str) -> object:
    """Read JSON or YAML, by the suffix of its name.

    Args:
        path: the file, UTF-8.
        stage: the step that wants it, for messages.

    Returns:
        Nested dictionaries with texts as keys, lists, texts, numbers, truth values and None.

    Raises:
        InputError: no file, one of more than 256 KiB or nested more than 32 deep, invalid JSON or YAML, a key
            twice, or what only YAML has: anchors, merged keys, tags, dates.
    """
    require_file(path, stage)
    kind = "JSON" if path.suffix.lower() == ".json" else "YAML"
    size = os.stat(path).st_size
    if size > LARGEST:
        raise InputError(path, stage, f"a configuration of at most {LARGEST} bytes", str(size))
    try:
        text = path.read_bytes().decode("utf-8")
        content = _parse_json(text) if kind == "JSON" else _parse_yaml(text)
        _require_plain(content)
    except _RefusedError as error:
        raise InputError(path, stage, f"plain {kind}", str(error)) from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError, LookupError, TypeError) as error:
        raise InputError(path, stage, kind, plain(f"{type(error).__name__}: {error}")) from error
    return content


def read_config(path: Path, stage: str) -> dict[str, Any]:
    """Read a configuration that is an object, its expressions not evaluated.

    Args:
        path: the file, UTF-8.
        stage: the step that wants it, for messages.

    Raises:
        InputError: as `read_plain`, or no object.
    """
    config = read_plain(path, stage)
    if not isinstance(config, dict):
        raise InputError(path, stage, "a JSON object", type(config).__name__)
    return config


def _parse_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_without_repetition)


def _parse_yaml(text: str) -> object:
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _RefusedError("an anchor, which can expand without limit")
        if tag := getattr(event, "tag", None):
            raise _RefusedError(f"the tag {plain(tag)}")
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<":
            raise _RefusedError("a merged key")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        _require_shallow(depth)
    content: object = yaml.load(text, _Loader)
    return content


def _without_repetition(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RefusedError(f"the key {plain(next(key for key in keys if keys.count(key) > 1))} twice")
    return content


def _require_plain(content: object, depth: int = 0) -> None:
    _require_shallow(depth)
    if not isinstance(content, _PLAIN):
        raise _RefusedError(f"a value of type {type(content).__name__}")
    if isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(key, str):
                raise _RefusedError(f"the key {plain(key)}, which is no text")
            _require_plain(value, depth + 1)
    elif isinstance(content, list):
        for value in content:
            _require_plain(value, depth + 1)


def _require_shallow(depth: int) -> None:
    if depth > DEEPEST:
        raise _RefusedError(f"more than {DEEPEST} levels")
