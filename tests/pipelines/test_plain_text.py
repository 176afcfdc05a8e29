import pytest

from kseg.pipelines.plain_text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\x1b[2K\u202e", r"'a\nb\x1b[2K\u202e'"),
        ("\ud800", r"'\ud800'"),
        (["x", None], "['x', None]"),
        ("x" * 200, "'" + "x" * 75 + " ..."),
        ([10**5000], "list"),
    ],
)
def test_whatever_it_is_it_fits_on_a_line(text: object, shown: str) -> None:
    assert plain(text) == shown
    assert len(shown) <= 80
    assert shown.isprintable()
