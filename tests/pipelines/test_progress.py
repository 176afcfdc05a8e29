"""Progress: a bar where someone watches, plain lines where a file is written."""

import logging
import re
import sys

import pytest

from kseg.pipelines.progress import progress


def test_plain_lines_count_the_cases(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "kseg")
    assert list(progress(["site/a", "b"], "segment")) == ["site/a", "b"]
    assert caplog.messages == ["segment 1/2: site/a", "segment 2/2: b"]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_messages_above_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(root, "handlers", [handler])
    for case in progress(["a", "b"], "segment"):
        root.error("%s is bad", case)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "segment: 100%" in shown
    for case in "ab":
        assert re.search(rf"\r *\r{case} is bad\n", shown)
    assert root.handlers == [handler]


def test_nothing_to_do_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kseg")
    assert list(progress([], "segment")) == []
    assert caplog.messages == []
