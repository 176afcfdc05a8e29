import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kseg.pipelines.bundle_folder import find_bundle, weights_file
from kseg.pipelines.weights_check import LARGEST_PICKLE, check_weights


def findings(path: Path) -> list[str]:
    return [str(finding).removeprefix(f"{path}: s: expected ") for finding in check_weights(path, "s")]


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    "state",
    [
        {},
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).state_dict(),
        OrderedDict(a=nn.Parameter(torch.zeros(2)), b=torch.zeros(0)),
        {
            str(dtype): torch.zeros(2, dtype=dtype)
            for dtype in (torch.float16, torch.bfloat16, torch.int64, torch.bool)
        },
        {"complex": torch.zeros(2, dtype=torch.complex64), "view": torch.arange(6.0).view(2, 3).T},
    ],
)
def test_tensors_by_name_are_allowed(state: dict, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "a.pt")
    assert findings(tmp_path / "a.pt") == []


def test_shipped_weights_are_allowed() -> None:
    assert findings(weights_file(find_bundle("brain_kspace_segmentation"))) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(2), "tensors by name, received 'Tensor'"),
        ({"a": [1]}, "tensors by name, received 'a of type list'"),
        ({"a": {"b": torch.zeros(2)}}, "tensors by name, received 'a of type dict'"),
        ({"a": np.zeros(2)}, "tensors by name, received a pickle that calls 'numpy"),
        ({"a": Path("x")}, "tensors by name, received a pickle that calls 'pathlib.PosixPath'"),
        (nn.ReLU(), "tensors by name, received a pickle that calls 'torch.nn.modules.activation.ReLU'"),
    ],
)
def test_anything_else_is_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    assert [line for line in findings(tmp_path / "a.pt") if line.startswith(message)] != []


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), content)
    return path


def test_archives_of_other_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    assert findings(archive(path, x="y"))[0].startswith(
        "an archive of tensors, received 'x'; TorchScript and"
    )
    large = archive(path, m__data_pkl=bytes(LARGEST_PICKLE + 1))
    assert findings(large) == [f"a pickle of at most {LARGEST_PICKLE} bytes, received {LARGEST_PICKLE + 1}"]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/data.pkl", pickle.dumps({}, 2))
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("m/data.pkl", pickle.dumps({}, 2))
    assert findings(path)[0].startswith("an archive of tensors, received a member twice")
    assert findings(archive(path, m__data_pkl=b"cos\nsystem\n."))[0].endswith(
        "a pickle that calls 'os.system'"
    )
    assert findings(archive(path, m__data_pkl=b"(S'x'\nios\nsystem\n."))[0].endswith(
        "a pickle that imports by INST"
    )
    assert findings(archive(path, m__data_pkl=b"\x82\x01."))[0].endswith("a pickle that imports by EXT1")
    assert findings(archive(path, m__data_pkl=b"\xff\xff"))[0].startswith(
        "an intact file of torch.save, received"
    )


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x05\x06" + bytes(18)])
def test_files_of_another_kind_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    assert findings(tmp_path / "a.pt") == ["an archive of tensors, received a file of another kind"]


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    for name in ("a.pt", "b.pt"):
        (line,) = findings(tmp_path / name)
        assert line.startswith("an intact file of torch.save, received")


def test_a_pickle_before_an_archive_is_not_overlooked(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    both = pickle.dumps({}) + (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(both)
    assert zipfile.is_zipfile(tmp_path / "a.pt")
    assert findings(tmp_path / "a.pt") == ["an archive of tensors, received a file of another kind"]


def test_no_damage_breaks_the_check(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(50.0)}, tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    generator, refused = np.random.default_rng(0), 0
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, len(damaged), 3):
            damaged[place] ^= int(generator.integers(1, 256))
        (tmp_path / "a.pt").write_bytes(bytes(damaged[: int(generator.integers(1, 2 * len(damaged)))]))
        lines = findings(tmp_path / "a.pt")
        assert all(line.isprintable() for line in lines)
        refused += bool(lines)
    assert refused > 150
