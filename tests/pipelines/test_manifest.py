from pathlib import Path

import pytest

from kseg.pipelines.items import Item
from kseg.pipelines.manifest import Shard, manifest_changes, parse_shard, read_manifest, write_manifest
from kseg.transforms.errors import InputError

ITEMS = [
    Item("a", Path("in/a.h5"), 5, "5f"),
    Item("site/\u00e4 b", Path("in/site/\u00e4 b.nii.gz"), 0, "3c", ("\u00e4 b.h5",)),
    Item("bytes \udcff", Path("in/bytes \udcff.h5"), -1, ""),
    Item("site/p", Path("in/site/p_T1w.nii"), 9, "90", parts=("p_T2w.nii", "p_FLAIR.nii.gz")),
]


def test_a_manifest_is_read_as_it_was_written_wherever_the_input_is(tmp_path: Path) -> None:
    write_manifest(tmp_path / "out" / "manifest.jsonl", ITEMS, Path("in"))
    assert read_manifest(tmp_path / "out" / "manifest.jsonl", Path("in")) == ITEMS
    moved = read_manifest(tmp_path / "out" / "manifest.jsonl", Path("/data"))
    assert [item.files for item in moved] == [
        tuple(Path("/data") / path.relative_to("in") for path in item.files) for item in ITEMS
    ]


@pytest.mark.parametrize("line", ["", "{", "[]", '{"case": "a"}', '"a"', "null"])
def test_what_is_no_manifest_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, ITEMS[:1], Path("in"))
    path.write_text(path.read_text() + line + "\n")
    expected = "read manifest: expected case, path and size on each line, received line 2: "
    with pytest.raises(InputError, match=expected):
        read_manifest(path, Path("in"))


def test_a_manifest_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"m\.jsonl: read manifest: expected a manifest, received .*No such file"
    ):
        read_manifest(tmp_path / "m.jsonl", tmp_path)
    (tmp_path / "file").touch()
    message = r"m\.jsonl: write manifest: expected a place to write to, received File exists"
    with pytest.raises(InputError, match=message):
        write_manifest(tmp_path / "file" / "m.jsonl", [], tmp_path)


def test_shards_are_disjoint_cover_everything_and_stay_when_cases_are_added() -> None:
    cases = [f"site{number % 5}/head{number}" for number in range(2000)]
    shards = [Shard(number, 7) for number in range(1, 8)]
    holders = {case: [shard.number for shard in shards if shard.holds(case)] for case in cases}
    assert all(len(numbers) == 1 for numbers in holders.values())
    sizes = [sum(numbers == [number] for numbers in holders.values()) for number in range(1, 8)]
    assert min(sizes) > 0.75 * 2000 / 7
    assert all(Shard().holds(case) for case in cases)


def test_the_shard_of_a_case_is_fixed_for_ever() -> None:
    assert [next(k for k in range(1, 65) if Shard(k, 64).holds(case)) for case in ("a", "site/head")] == [
        11,
        11,
    ]


def test_a_shard_is_read_from_text() -> None:
    assert parse_shard("3/8") == Shard(3, 8)


@pytest.mark.parametrize("text", ["0/3", "4/3", "-1/3", "1", "a/b", "", "1/2/3"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^shard: expected K/N with 1 <= K <= N, received {text}$"):
        parse_shard(text)


def test_changes_are_counted() -> None:
    assert manifest_changes(ITEMS, ITEMS) == ""
    assert manifest_changes(ITEMS, ITEMS[1:]) == "1 gone"
    assert manifest_changes(ITEMS[1:], [Item("a", Path("in/a.h5"), 6), *ITEMS[2:]]) == "1 new, 1 gone"
