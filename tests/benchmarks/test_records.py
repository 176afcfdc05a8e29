"""Records are believed only with the files that they vouch for."""

import json
from pathlib import Path

import pytest
from paper.records import read_record, short_digest, write_record

from kseg.transforms.errors import InputError


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    write_record(tmp_path / "done.json", {"epochs": 3}, {"weights": path})
    return path


def read(weights: Path) -> dict | None:
    return read_record(weights.with_name("done.json"), {"weights": weights}, ("epochs",))


def test_what_was_written_is_read(weights: Path) -> None:
    content = read(weights)
    assert content is not None
    assert content["epochs"] == 3
    assert content["sha256"]["weights"].startswith("9a129038")


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "done.json", {}) is None


def test_a_file_that_is_gone_or_another_is_named(weights: Path) -> None:
    weights.write_bytes(b"others")
    with pytest.raises(InputError, match=r"weights.pt: read record: expected a file of SHA-256 9a129038"):
        read(weights)
    weights.unlink()
    with pytest.raises(InputError, match=r"weights.pt: read record: expected a file, received No such file"):
        read(weights)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ('{"epochs": 3', "expected JSON"),
        ("[]", "expected the keys digest, epochs, sha256, received list"),
        (json.dumps({"sha256": {}}), "expected the keys digest, epochs, sha256, received sha256"),
        (
            json.dumps({"epochs": 4, "sha256": {}, "digest": "0"}),
            "done.json: .* content of digest 0, received ",
        ),
    ],
)
def test_a_damaged_record_is_named(weights: Path, text: str, received: str) -> None:
    weights.with_name("done.json").write_text(text)
    with pytest.raises(InputError, match=received):
        read(weights)


def test_a_value_that_was_changed_is_named(weights: Path) -> None:
    path = weights.with_name("done.json")
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 30'))
    with pytest.raises(
        InputError, match=r"done.json: read record: expected content of digest \w{8}, received"
    ):
        read(weights)


def test_digests_differ_where_the_content_does() -> None:
    assert short_digest({"a": 1, "b": 2}) == short_digest({"b": 2, "a": 1})
    assert short_digest({"a": 1}) != short_digest({"a": 2})
