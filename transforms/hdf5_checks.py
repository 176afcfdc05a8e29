"""What the HDF5 library does not check.

Texts and readouts of variable length lie in a heap without checksums. The library trusts sizes that it finds there: a
damaged one makes it go round for ever or write where it must not. So they are looked at first.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kseg.transforms.errors import InputError

_SIGNATURE, _HEADER, _OBJECT = b"GCOL\x01\x00\x00\x00", 16, 16
_REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("number", "<u4")])
_MOST_PACKED = 100
_EXPECTED = "an intact HDF5 file"

Bytes = npt.NDArray[np.uint8]

Sizes = dict[tuple[int, int], int]
"""Size of every object of the heaps in a file, by the address of its heap and its number."""


def require_sound_heap(path: Path, stage: str, datasets: list[h5py.Dataset]) -> None:
    """Refuse a file whose heap does not hold what its datasets say.

    Args:
        path: HDF5 file with 8-byte addresses, as all libraries write by default.
        stage: the step that reads it, for the message.
        datasets: those whose elements, or members of their elements, are of variable length. Those that are packed
            cannot be looked at; their chunks are taken as they are.

    Raises:
        InputError: an object of size 0, at which a walk through the heap would not end; or an element that is not in
            the heap in the size that it should have.

    Reference:
        HDF5 file format specification, section III.E, disk format: global heap.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        sizes = _sizes(path, stage, content)
        for dataset in datasets:
            for rows in _stored(dataset, content):
                for offset, size in _variable(dataset.dtype):
                    _require_held(path, stage, rows[:, offset : offset + _REFERENCE.itemsize], size, sizes)


def require_plausible_size(path: Path, stage: str, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that claims far more elements than its file can hold, before memory is taken for them.

    Args:
        path: the file.
        stage: the step that reads it, for the message.
        dataset: what is going to be read whole.

    Raises:
        InputError: it has more than 100 times the bytes of the file.
    """
    claimed, held = dataset.size * dataset.dtype.itemsize, path.stat().st_size
    if claimed > _MOST_PACKED * held:
        raise InputError(path, stage, _EXPECTED, f"a dataset of {claimed} bytes in a file of {held}")


def kind(stored: object) -> str:
    """Say of what kind something in a file is, without the names that were given to its parts: they can be anything.

    Args:
        stored: a dataset, its values, or whatever else is in its place.

    Example:
        >>> kind(np.zeros(3)), kind(np.zeros(3, [("Jane", "f4"), ("Doe", "f4")])), kind(b"Jane Doe")
        ('float64 of shape (3,)', 'a table of 2 columns', 'bytes')
    """
    if not isinstance(stored, (h5py.Dataset, np.ndarray)):
        return type(stored).__name__
    names = stored.dtype.names
    return f"{stored.dtype} of shape {stored.shape}" if names is None else f"a table of {len(names)} columns"


def _sizes(path: Path, stage: str, content: mmap.mmap) -> Sizes:
    sizes: Sizes = {}
    start = content.find(_SIGNATURE)
    while start >= 0:
        size = int.from_bytes(content[start + 8 : start + 16], "little")
        # Else it only looks like a heap.
        end = start + size if _HEADER < size <= len(content) - start else start
        position = start + _HEADER
        while position + _OBJECT <= end:
            number = int.from_bytes(content[position : position + 2], "little")
            size = int.from_bytes(content[position + 8 : position + 16], "little")
            # Free space counts its own header; the data of an object are filled up to a multiple of 8.
            step = size if number == 0 else _OBJECT + (size + 7) // 8 * 8
            if step == 0:
                raise InputError(path, stage, _EXPECTED, f"a heap with a hole at byte {position}")
            if position + step <= end:
                sizes[start, number] = size
            position += step
        start = content.find(_SIGNATURE, start + 1)
    return sizes


def _variable(dtype: np.dtype[Any]) -> list[tuple[int, int]]:
    """Where in a stored element its parts of variable length are, and the size of what each is made of."""
    if dtype.fields is None:
        string = h5py.check_string_dtype(dtype)
        base = h5py.check_vlen_dtype(dtype)
        if string is not None and string.length is None:
            return [(0, 1)]
        return [] if base is None else [(0, np.dtype(base).itemsize)]
    bases = [(field[1], h5py.check_vlen_dtype(field[0])) for field in dtype.fields.values()]
    return [(offset, np.dtype(base).itemsize) for offset, base in bases if base not in (None, str, bytes)]


def _stored(dataset: h5py.Dataset, content: mmap.mmap) -> Iterator[Bytes]:
    """The bytes of the elements as they lie in the file, `(element, byte)`, part by part."""
    # In memory a text is a pointer; in the file it is a reference, as a list is.
    size = dataset.dtype.itemsize if dataset.dtype.fields is not None else _REFERENCE.itemsize
    for first, last in _places(dataset):
        part = content[first : first + (last - first) // size * size]
        yield np.frombuffer(part[: len(part) // size * size], np.uint8).reshape(-1, size)


def _places(dataset: h5py.Dataset) -> list[tuple[int, int]]:
    """First byte of each part of a dataset in its file and the one behind its last."""
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        return [] if start is None else [(start, start + dataset.id.get_storage_size())]
    if dataset.id.get_create_plist().get_nfilters():
        return []
    chunks = [dataset.id.get_chunk_info(number) for number in range(dataset.id.get_num_chunks())]
    return [(chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in chunks]


def _require_held(path: Path, stage: str, stored: Bytes, size: int, sizes: Sizes) -> None:
    references = np.ascontiguousarray(stored).view(_REFERENCE)[:, 0]
    for length, address, number in references[references["length"] > 0].tolist():
        held = sizes.get((address, number))
        if held != length * size:
            received = f"{held or 0} of the {length * size} bytes of an element"
            raise InputError(path, stage, _EXPECTED, received)
