"""A few of the damaged files of `fuzz_readers.py`, in this process."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str) -> ModuleType:
    """Import a script of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


load("damage")
fuzz_readers = load("fuzz_readers")


@pytest.mark.parametrize("kind", fuzz_readers.KINDS, ids=lambda kind: kind.name)
def test_damaged_files_are_refused_by_name_or_read_as_something_valid(kind, tmp_path: Path) -> None:
    outcomes = [fuzz_readers.try_one(kind, number, seed=1, folder=tmp_path) for number in range(60)]
    assert set(outcomes) <= {"refused", "read"}, outcomes
    assert outcomes.count("refused") > 20


def test_the_same_seed_damages_alike(tmp_path: Path) -> None:
    kind = fuzz_readers.KINDS[0]
    contents = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        fuzz_readers.try_one(kind, 4, seed=1, folder=tmp_path / name)
        contents.append((tmp_path / name / kind.name).read_bytes())
    assert contents[0] == contents[1]


def test_a_crash_and_a_wrong_answer_are_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = fuzz_readers.KINDS[4]

    def careless(path: Path) -> object:
        return fuzz_readers.NiftiVolume(fuzz_readers.np.zeros((2, 2)), fuzz_readers.np.eye(4))

    wrong = fuzz_readers.Kind(kind.name, kind.make, careless, kind.change)
    (tmp_path / f"intact_{kind.name}").touch()
    monkeypatch.setattr(fuzz_readers, "change_bytes", lambda *_: None)
    assert fuzz_readers.try_one(wrong, 0, seed=1, folder=tmp_path).startswith("wrong ok: ")

    def broken(path: Path) -> object:
        raise KeyError("header")

    assert fuzz_readers.try_one(
        fuzz_readers.Kind(kind.name, kind.make, broken, kind.change), 0, seed=1, folder=tmp_path
    ).startswith("other error: ")
