import logging.config
from pathlib import Path

import pytest

from kseg.pipelines.logging_config_check import check_logging_config

BASE = """[loggers]
keys=root
[handlers]
keys=x
[formatters]
keys=f
[logger_root]
level=INFO
handlers=x
[handler_x]
class=StreamHandler
level=INFO
formatter=f
args=(sys.stdout,)
[formatter_f]
format=%(asctime)s %(message)s
"""
HANDLER = "a handler that writes to a standard stream, received "
ARGUMENT = "standard output or error as argument, received "


def findings(text: str, folder: Path) -> list[str]:
    path = folder / "logging.conf"
    path.write_text(text)
    return [str(finding).removeprefix(f"{path}: s: expected ") for finding in check_logging_config(path, "s")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("(sys.stdout,)", "(sys.stderr,)"),
        ("(sys.stdout,)", ""),
        ("class=StreamHandler", "class=logging.StreamHandler"),
        ("StreamHandler\nlevel=INFO\nformatter=f\nargs=(sys.stdout,)", "NullHandler\nargs=()"),
        ("[formatter_f]", "[formatter_f]\nclass=logging.Formatter\ndatefmt=%H"),
    ],
)
def test_standard_streams_are_allowed(old: str, new: str, tmp_path: Path) -> None:
    assert findings(BASE.replace(old, new), tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("StreamHandler", "FileHandler", HANDLER + "'FileHandler' in section 'handler_x'"),
        ("StreamHandler", "handlers.RotatingFileHandler", HANDLER + "'handlers.RotatingFileHandler'"),
        ("StreamHandler", "logging.handlers.SocketHandler", HANDLER),
        ("StreamHandler", "logging.handlers.SMTPHandler", HANDLER),
        ("StreamHandler", "logging.handlers.HTTPHandler", HANDLER),
        ("StreamHandler", "eval", HANDLER),
        ("StreamHandler", "", HANDLER),
        ("StreamHandler", "StreamHandler\n os.system('x')", HANDLER),
        ("(sys.stdout,)", "(open('x', 'w'),)", ARGUMENT),
        ("(sys.stdout,)", "('x',)", ARGUMENT),
        ("(sys.stdout,)", "__import__('os').system('x')", ARGUMENT),
        ("args=", "kwargs={}\nargs=", "options of a handler, received 'kwargs'"),
        ("args=", "target=y\nargs=", "options of a handler, received 'target'"),
        (
            "[formatter_f]",
            "[formatter_f]\nclass=evil.Formatter",
            "the formatter of Python, received 'evil.Formatter'",
        ),
        ("[formatter_f]", "[formatter_f]\ndefaults={}", "options of a formatter, received 'defaults'"),
        (
            "[loggers]",
            "[DEFAULT]\nclass=FileHandler\n[loggers]",
            "no defaults, received 'class' in section 'DEFAULT'",
        ),
        ("[loggers]", "[other]\n[loggers]", "loggers, handlers and formatters, received 'other'"),
        ("keys=root", "keys=root\nx=y", "keys, received 'x' in section 'loggers'"),
    ],
)
def test_everything_else_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    lines = findings(BASE.replace(old, new), tmp_path)
    assert [line for line in lines if line.startswith(message)] != [], lines
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", ["x", "[a]\n[a]\n", "[a]\nb=1\nb=2\n", "\x00[", "[a"])
def test_what_is_no_logging_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (line,) = findings(text, tmp_path)
    assert line.startswith("an intact logging configuration, received")


def test_a_large_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    assert findings("#" * 70_000, tmp_path) == [
        "a logging configuration of at most 65536 bytes, received 70000"
    ]
    (finding,) = check_logging_config(tmp_path / "none.conf", "s")
    assert 'an intact logging configuration, received "FileNotFoundError' in str(finding)


def test_the_base_of_these_tests_is_one_that_python_takes(tmp_path: Path) -> None:
    path = tmp_path / "logging.conf"
    path.write_text(
        BASE.replace("[loggers]\nkeys=root", "[loggers]\nkeys=root,k").replace(
            "[handler_x]", "[logger_k]\nhandlers=\nqualname=kseg.none\n[handler_x]"
        )
    )
    root = logging.getLogger()
    before = list(root.handlers), root.level
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
        assert [type(handler) for handler in root.handlers] == [logging.StreamHandler]
    finally:
        root.handlers[:], root.level = before
    assert check_logging_config(path, "s") == []
