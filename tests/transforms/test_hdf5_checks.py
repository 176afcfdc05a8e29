from pathlib import Path

import h5py
import numpy as np
import pytest

from kseg.transforms.errors import InputError
from kseg.transforms.hdf5_checks import require_plausible_size, require_sound_heap
from kseg.transforms.kspace_file import read_kspace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with texts, lists, and a table of lists, in several heaps that are filled up with free space."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(30):
            file[f"text_{number}"] = "x" * (200 + number)
        lists = file.create_dataset("lists", (2,), h5py.vlen_dtype(np.float64), maxshape=(None,))
        lists[0], lists[1] = np.ones(3), np.ones(2)
        table = file.create_dataset("table", (2,), [("head", "<i4"), ("data", h5py.vlen_dtype(np.float32))])
        table[0] = (1, np.ones(3, np.float32))
    return tmp_path / "x.h5"


def free_space(content: bytes) -> int:
    """Where the object that stands for free space begins."""
    start = content.index(b"GCOL") + 16
    while content[start : start + 2] != b"\0\0":
        start += 16 + (int.from_bytes(content[start + 8 : start + 16], "little") + 7) // 8 * 8
    return start


def check(path: Path) -> None:
    with h5py.File(path) as file:
        require_sound_heap(path, "read", list(file.values()))


def test_texts_and_readouts_in_their_place_are_sound(path):
    assert path.read_bytes().count(b"GCOL\x01\0\0\0") >= 2
    check(path)


def test_free_space_of_size_zero_would_never_end(path):
    content = bytearray(path.read_bytes())
    place = free_space(content)
    content[place + 8 : place + 16] = bytes(8)
    path.write_bytes(content)
    message = rf"x\.h5: read: expected an intact HDF5 file, received a heap with a hole at byte {place}$"
    with pytest.raises(InputError, match=message):
        check(path)
    with pytest.raises(InputError, match=rf"x\.h5: read k-space: .* a heap with a hole at byte {place}$"):
        read_kspace(path)


@pytest.mark.parametrize("name", ["text_7", "table", "lists"])
def test_elements_of_another_size_than_the_heap_holds_are_refused(path, name):
    held = {"text_7": 207, "table": 12, "lists": 24}[name]
    with h5py.File(path) as file:
        dataset = file[name]
        start = (
            dataset.id.get_offset() if dataset.chunks is None else dataset.id.get_chunk_info(0).byte_offset
        )
        place = start + (4 if name == "table" else 0)
    content = bytearray(path.read_bytes())
    count = int.from_bytes(content[place : place + 4], "little")
    for wrong in (count - 1, count + 1):
        content[place : place + 4] = wrong.to_bytes(4, "little")
        path.write_bytes(content)
        size = wrong * held // count
        message = rf"expected an intact HDF5 file, received {held} of the {size} bytes of an element"
        with pytest.raises(InputError, match=message):
            check(path)
    content[place : place + 4] = count.to_bytes(4, "little")
    content[place + 12] ^= 64
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"received 0 of the {held} bytes of an element"):
        check(path)


def test_packed_and_fixed_elements_are_left_alone(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("packed", data=["a", "b"], chunks=(2,), compression="gzip")
        file["fixed"] = np.ones(3)
        file.create_dataset("nothing", shape=(0,), dtype=h5py.string_dtype())
    check(tmp_path / "x.h5")


def test_what_only_looks_like_a_heap_is_left_alone(tmp_path):
    for size in (0, 16, 10_000):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            lookalike = b"GCOL\x01\0\0\0" + size.to_bytes(8, "little") + bytes(200)
            file["x"] = np.frombuffer(lookalike, np.uint8)
        check(tmp_path / "x.h5")


def test_a_dataset_far_beyond_its_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kspace"] = np.ones((1, 20, 20), np.complex64)
        file.create_dataset("huge", (10**12,), np.float32, chunks=(10,))
    with h5py.File(tmp_path / "x.h5") as file:
        require_plausible_size(tmp_path / "x.h5", "read", file["kspace"])
        message = r"x\.h5: read: expected an intact HDF5 file, received a dataset of 4000000000000 bytes in a file of"
        with pytest.raises(InputError, match=message):
            require_plausible_size(tmp_path / "x.h5", "read", file["huge"])
