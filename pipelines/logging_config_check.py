"""Check `logging.conf`: Python evaluates what it says about handlers, before anything else of a bundle is read."""

import configparser
from pathlib import Path

from kseg.pipelines.plain_text import plain
from kseg.transforms.errors import InputError

LARGEST = 2**16

_HANDLERS = {"StreamHandler", "logging.StreamHandler", "NullHandler", "logging.NullHandler"}
_FORMATTERS = {"Formatter", "logging.Formatter"}
_STREAMS = {"", "()", "(sys.stdout,)", "(sys.stderr,)", "(sys.stdout, )", "(sys.stderr, )"}
_OPTIONS = {
    "handler_": {"class", "level", "formatter", "args"},
    "formatter_": {"class", "format", "datefmt", "style"},
    "logger_": {"level", "handlers", "propagate", "qualname"},
}
_TABLES = {"loggers", "handlers", "formatters"}


def check_logging_config(path: Path, stage: str) -> list[InputError]:
    """Check that handlers write to standard output or error alone: to no file, no socket, no mail.

    Args:
        path: a file for `logging.config.fileConfig`.
        stage: the step that wants it, for messages.

    Returns:
        What is refused; empty where nothing is.
    """
    parser = configparser.RawConfigParser()
    try:
        size = path.stat().st_size
        if size > LARGEST:
            return [InputError(path, stage, f"a logging configuration of at most {LARGEST} bytes", str(size))]
        parser.read_string(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, configparser.Error) as error:
        received = plain(f"{type(error).__name__}: {error}")
        return [InputError(path, stage, "an intact logging configuration", received)]
    return [
        InputError(path, stage, expected, f"{plain(received)} in section {plain(section)}")
        for section in [parser.default_section, *parser.sections()]
        for expected, received in _section(parser, section)
    ]


def _section(parser: configparser.RawConfigParser, section: str) -> list[tuple[str, str]]:
    # Defaults would appear in every section.
    content = dict(parser.defaults() if section == parser.default_section else parser.items(section))
    if section == parser.default_section:
        return [("no defaults", name) for name in content]
    if section in _TABLES:
        return [("keys", name) for name in content if name != "keys"]
    kind = next((kind for kind in _OPTIONS if section.startswith(kind)), None)
    if kind is None:
        return [("loggers, handlers and formatters", section)]
    findings = [(f"options of a {kind.rstrip('_')}", name) for name in content if name not in _OPTIONS[kind]]
    class_, arguments = content.get("class", ""), content.get("args", "")
    if kind == "handler_":
        if class_ not in _HANDLERS:
            findings.append(("a handler that writes to a standard stream", class_))
        if arguments not in _STREAMS:
            findings.append(("standard output or error as argument", arguments))
    elif kind == "formatter_" and class_ and class_ not in _FORMATTERS:
        findings.append(("the formatter of Python", class_))
    return findings
