from pathlib import Path

import pytest

from kseg.pipelines import bundle_files
from kseg.pipelines.bundle_files import DEEPEST, LARGEST, list_bundle_files


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_inputs_and_outputs_are_no_part_of_a_bundle(tmp_path: Path) -> None:
    write(
        tmp_path,
        "LICENSE",
        "configs/a.json",
        "models/m.pt",
        "eval/code.py",
        "data/a.h5",
        "docs/eval/a.md",
        "run/log.0",
    )
    listed = list_bundle_files(tmp_path, "s")
    assert sorted(listed.files) == ["LICENSE", "configs/a.json", "docs/eval/a.md", "models/m.pt"]
    assert listed.files["models/m.pt"] == tmp_path / "models/m.pt"
    assert listed.findings == []


def test_links_inside_are_files(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md")
    (tmp_path / "docs/b.md").symlink_to("a.md")
    (tmp_path / "data").symlink_to("/")
    assert sorted(list_bundle_files(tmp_path, "s").files) == ["docs/a.md", "docs/b.md"]
    linked = tmp_path.parent / f"{tmp_path.name}_link"
    linked.symlink_to(tmp_path)
    assert list_bundle_files(linked, "s").findings == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.py", "Python"),
        ("b/c.PY", "Python"),
        ("a.pyc", "Python"),
        ("a.so", "binary code"),
        ("m.ts", "TorchScript, which is code"),
        ("a.pkl", "the kind '.pkl'"),
        ("a.zip", "the kind '.zip'"),
        ("a.html", "the kind '.html'"),
        ("Makefile", "the kind 'Makefile'"),
        (".env", "the kind '.env'"),
        ("a\x1b.md", r"the name 'a\x1b.md'"),
        ("a\\b.md", r"the name 'a\\b.md'"),
    ],
)
def test_other_files_are_refused(name: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path, name, "docs/a.md")
    listed = list_bundle_files(tmp_path, "s")
    (finding,) = listed.findings
    assert str(finding).endswith(f": s: expected a file of a bundle, received {reason}")
    assert str(finding).isprintable()
    assert list(listed.files) == ["docs/a.md"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to("b.md")
    (tmp_path / "b.md").symlink_to("a.md")
    (tmp_path / "c").symlink_to(".")
    received = sorted(finding.received for finding in list_bundle_files(tmp_path, "s").findings)
    assert received == ["a link to a folder", "a link to nothing", "a link to nothing"]


def test_a_folder_without_end_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_files, "MOST_FILES", 3)
    write(tmp_path, *(f"{number}.md" for number in range(9)))
    listed = list_bundle_files(tmp_path, "s")
    assert len(listed.files) == 3
    assert [str(finding) for finding in listed.findings] == [
        f"{tmp_path}: s: expected at most 3 files, received more"
    ]


def test_a_folder_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    (finding,) = list_bundle_files(tmp_path / "none", "s").findings
    assert str(finding).endswith(
        "none: s: expected a folder that can be read, received No such file or directory"
    )


def test_folders_without_end_are_not_followed(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["a"] * DEEPEST)
    deepest.mkdir(parents=True)
    (deepest / "b.md").touch()
    assert list_bundle_files(tmp_path, "s").findings == []
    (deepest / "a/b/c").mkdir(parents=True)
    listed = list_bundle_files(tmp_path, "s")
    assert [str(finding) for finding in listed.findings] == [
        f"{deepest}/a: s: expected folders at most 16 deep, received a deeper one"
    ]
    assert list(listed.files.values()) == [deepest / "b.md"]


def test_a_file_of_any_size_is_no_part_of_a_bundle(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    with (tmp_path / "b.md").open("wb") as file:
        file.truncate(LARGEST)
    listed = list_bundle_files(tmp_path, "s")
    assert [str(finding) for finding in listed.findings] == [
        f"{tmp_path}: s: expected at most {LARGEST} bytes, received more"
    ]
    assert list(listed.files) == ["a.md"]
