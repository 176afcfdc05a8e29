import pytest

from kseg.pipelines.config_paths import refuse_path


@pytest.mark.parametrize(
    "text", ["", "a", "a/b.json", "a..b", "...", "a/..b", "x: y", "3:4", "*.nii*", "a//b"]
)
def test_texts_that_stay(text: str) -> None:
    assert refuse_path(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/etc/passwd", "the absolute path '/etc/passwd'"),
        ("~/.bashrc", "the absolute path '~/.bashrc'"),
        ("C:\\Windows", r"the absolute path 'C:\\Windows'"),
        ("c:/windows", "the absolute path 'c:/windows'"),
        ("\\\\host\\share", r"the absolute path '\\\\host\\share'"),
        ("..", "the path '..' upwards"),
        ("a/../../b", "the path 'a/../../b' upwards"),
        ("a\\..\\b", r"the path 'a\\..\\b' upwards"),
        ("http://example.org", "the address 'http://example.org'"),
        ("see file:///etc/passwd", "the address 'see file:///etc/passwd'"),
    ],
)
def test_texts_that_lead_outside(text: str, reason: str) -> None:
    assert refuse_path(text) == reason
