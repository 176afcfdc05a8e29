from pathlib import Path

import pytest

from kseg.pipelines.large_files_check import check_large_files

GOOD = {
    "path": "models/model.pt",
    "url": "https://example.org/model.pt",
    "hash_val": "ab" * 32,
    "hash_type": "sha256",
}
LIST = "a list of large_files with path, url, hash_val and hash_type, received "


def test_downloads_with_place_address_and_digest() -> None:
    assert check_large_files({"large_files": [GOOD, {**GOOD, "path": "a-b.c"}]}, Path("l.yml"), "s") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, LIST + "None"),
        ({"large_files": {}}, LIST),
        ({"large_files": [GOOD], "network_def": {"_target_": "os.system"}}, LIST),
        ({"large_files": [{**GOOD, "_target_": "os.system"}]}, LIST),
        ({"large_files": [{"path": "x"}]}, LIST),
        ({"large_files": [{**GOOD, "path": "../x"}]}, "a path in the bundle, received '../x'"),
        ({"large_files": [{**GOOD, "path": "/x"}]}, "a path in the bundle, received '/x'"),
        ({"large_files": [{**GOOD, "path": "$x"}]}, "a path in the bundle, received '$x'"),
        (
            {"large_files": [{**GOOD, "url": "file:///x"}]},
            "an address that begins with https://, received 'file:",
        ),
        (
            {"large_files": [{**GOOD, "url": "http://x"}]},
            "an address that begins with https://, received 'http:",
        ),
        ({"large_files": [{**GOOD, "hash_val": ""}]}, "the SHA-256 of a file, received ''"),
        ({"large_files": [{**GOOD, "hash_type": "md5"}]}, "the SHA-256 of a file, received 'abab"),
    ],
)
def test_other_downloads_are_refused(content: object, message: str) -> None:
    (finding,) = check_large_files(content, Path("l.yml"), "s")
    assert str(finding).startswith(f"l.yml: s: expected {message}")
