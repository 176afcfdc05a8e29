"""Text of files that are not trusted, fit for a line on a terminal."""

_LONGEST = 80


def plain(text: object) -> str:
    r"""Quote a text in ASCII, without control characters, cut where it gets long.

    Args:
        text: whatever was found.

    Example:
        >>> print(plain("red: \x1b[31m, a line\nand another"))
        'red: \x1b[31m, a line\nand another'
    """
    try:
        quoted = ascii(text)
    except (RecursionError, ValueError):  # nested too deep, or a whole number of thousands of digits
        return type(text).__name__
    return quoted if len(quoted) <= _LONGEST else quoted[: _LONGEST - 4] + " ..."
