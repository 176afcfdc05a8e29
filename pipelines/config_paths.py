"""Which places a configuration may name: those below the folders that its user chooses."""

import re

from kseg.pipelines.plain_text import plain

_ABSOLUTE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]")
_UPWARD = re.compile(r"(^|[/\\])\.\.([/\\]|$)")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def refuse_path(text: str) -> str | None:
    """Say why a text names a place outside; a text that is no path names none.

    Args:
        text: any text of a configuration.

    Example:
        >>> refuse_path("models/model.pt"), refuse_path("../model.pt")
        (None, "the path '../model.pt' upwards")
    """
    if _ABSOLUTE.match(text):
        return f"the absolute path {plain(text)}"
    if _UPWARD.search(text):
        return f"the path {plain(text)} upwards"
    if _REMOTE.search(text):
        return f"the address {plain(text)}"
    return None
