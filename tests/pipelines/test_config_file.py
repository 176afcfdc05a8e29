import re
from pathlib import Path

import pytest

from kseg.pipelines.config_file import DEEPEST, read_config, read_plain
from kseg.transforms.errors import InputError


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    json, yaml = tmp_path / "a.JSON", tmp_path / "a.yml"
    json.write_text('{"a": [1, 2.5, true, null, "$x"], "b": {}}')
    yaml.write_text("a: [1, 2.5, true, null, $x]\nb: {}\n")
    assert read_plain(json, "s") == read_plain(yaml, "s") == {"a": [1, 2.5, True, None, "$x"], "b": {}}
    assert list(read_plain(json, "s")) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "expected a file with content, received an empty file"),
        ("a.json", b"{", "expected JSON, received 'JSONDecodeError: "),
        ("a.json", b"\xff\xfe{}", 'expected JSON, received "UnicodeDecodeError: '),
        ("a.json", b"[1" + b"0" * 5000 + b"]", "expected JSON, received 'ValueError: "),
        ("a.json", b'{"a": 1, "b": 2, "a": 3}', "expected plain JSON, received the key 'a' twice"),
        ("a.json", b"[" * 40 + b"]" * 40, f"expected plain JSON, received more than {DEEPEST} levels"),
        ("a.json", b"[" * 200_000, "expected JSON, received 'RecursionError: "),
        ("a.json", b" " * 300_000, "expected a configuration of at most 262144 bytes, received 300000"),
        ("a.yaml", b"a: [", "expected YAML, received"),
        ("a.yaml", b"a: 1\na: 2", "expected plain YAML, received the key 'a' twice"),
        ("a.yaml", b"a: &x 1\nb: 1", "expected plain YAML, received an anchor"),
        ("a.yaml", b"a: *x", "expected plain YAML, received an anchor"),
        ("a.yaml", b"a: {<<: {b: 1}}", "expected plain YAML, received a merged key"),
        ("a.yaml", b"a: !!python/name:os.system", "plain YAML, received the tag 'tag:yaml.org,2002:python/n"),
        ("a.yaml", b"a: !!set {b}", "expected plain YAML, received the tag"),
        ("a.yaml", b"a: 2020-01-01", "expected plain YAML, received a value of type date"),
        ("a.yaml", b"a: 2020-13-41", "expected YAML, received 'ValueError: "),
        ("a.yaml", b"1: a", "expected plain YAML, received the key 1, which is no text"),
        ("a.yaml", b"[a, b]: 1", "expected YAML, received"),
        ("a.yaml", b"a: 1\n---\nb: 1", "expected YAML, received"),
        ("a.yaml", b"[" * 40 + b"]" * 40, f"expected plain YAML, received more than {DEEPEST} levels"),
    ],
)
def test_what_is_no_plain_data_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(
        InputError, match="^" + re.escape(f"{path}: s: ") + ".*" + re.escape(message)
    ) as error:
        read_plain(path, "s")
    assert str(error.value).isprintable()


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file, received No such file"):
        read_plain(tmp_path / "a.json", "s")


def test_a_configuration_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_config(path, "s") == {"a": 1}
    path.write_text("[1]")
    with pytest.raises(InputError, match=r"a\.json: s: expected a JSON object, received list$"):
        read_config(path, "s")
