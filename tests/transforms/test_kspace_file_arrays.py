"""What lies in a file under the name of an array is looked at before memory is taken for it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from kseg.transforms.errors import InputError
from kseg.transforms.kspace_file import KSpaceVolume, read_kspace, write_kspace


def replace(path: Path, name: str, *stored: object) -> None:
    """Put something else in the place of an array: a value, a shape and type of zeros, or a group."""
    with h5py.File(path, "r+") as file:
        file.pop(name, None)
        if stored:
            file.create_dataset(name, *stored)
        else:
            file.create_group(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(3, 2, 8, 6, dtype=torch.complex64, generator=generator)
    volume = KSpaceVolume(kspace, torch.ones(6, dtype=torch.bool), np.eye(4), None, None, "head")
    write_kspace(tmp_path / "x.h5", volume)
    return tmp_path / "x.h5"


def check(path: Path, expected: str, received: str) -> None:
    with pytest.raises(InputError, match=rf"x\.h5: read k-space: expected {expected}, received {received}$"):
        read_kspace(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kspace", r"complex `kspace` \(slice, y, x\) or \(slice, coil, y, x\)"),
        ("mask", "a mask of zeros and ones"),
        ("affine", "an `affine` of real numbers"),
        ("sensitivities", r"complex `sensitivities` \(slice, coil, y, x\)"),
    ],
)
def test_other_things_in_the_place_of_arrays(path: Path, name: str, expected: str):
    replace(path, name)
    check(path, expected, "Group")
    replace(path, name, (0, 2, 8, 6), "f4" if name == "affine" else "c8")
    check(path, expected, r"(float32|complex64) of shape \(0, 2, 8, 6\)")
    replace(path, name, None, None, h5py.Empty("i4"))
    check(path, expected, "int32 of shape None")


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("kspace", (3, 2, 2**20, 6), "c8"),
        ("mask", (2**26,), "i1"),
        ("affine", (2**13, 2**13), "f8"),
        ("sensitivities", (1, 2, 2**20, 6), "c8"),
        ("ismrmrd_header", (), "S100000000"),
    ],
)
def test_sizes_far_beyond_the_file(path: Path, name: str, shape: tuple[int, ...], dtype: str):
    if name == "ismrmrd_header":
        with h5py.File(path, "r+") as file:
            del file["affine"]
    replace(path, name, shape, dtype)
    size = np.prod(shape, dtype=int) * np.dtype(dtype).itemsize
    check(path, "an intact HDF5 file", f"a dataset of {size} bytes in a file of {path.stat().st_size}")
