"""ISMRMRD readouts sorted into a Cartesian grid of k-space."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import Encoding

Array = npt.NDArray[Any]

REVERSED = np.uint64(1 << 21)
"""Bit of a readout that was sampled backwards, ACQ_IS_REVERSE."""
_EMPTIEST = 100
"""A grid of which less than this part is acquired is a damaged header, and its memory would be wasted."""


def sort_readouts(
    path: Path, stage: str, readouts: Array, encoding: Encoding, slices: Array
) -> tuple[Tensor, Tensor]:
    """Put every readout in its place.

    The readout becomes the y axis, phase-encoding step 1 the x axis; the centre of k-space lies at index n // 2 of
    each. Lines acquired several times are averaged. Of several partitions of a slab (phase-encoding step 2) each is
    a plane of its own.

    Args:
        path: the file, for messages.
        stage: the step that reads it, for messages.
        readouts: ISMRMRD readouts (head, traj, data).
        encoding: extent of the grid.
        slices: numbers of the slices, ascending.

    Returns:
        k-space `(plane, coil, y, x)`, complex64, zero where nothing was acquired, and bool `(plane, y, x)`, what was.
        A plane is a slice, or a partition of the only slab.

    Raises:
        InputError: readouts of other lengths than they say or of several numbers of coils, or outside the grid.
    """
    n_coils = _coils(path, stage, readouts)
    n_y, n_x, n_z = encoding.matrix
    n_planes = n_z if n_z > 1 else len(slices)
    acquired = int(readouts["head"]["number_of_samples"].astype(np.int64).sum())
    if n_planes * n_y * n_x > _EMPTIEST * acquired:
        expected = f"readouts for at least 1 % of {n_planes} planes (y, x) = ({n_y}, {n_x})"
        raise InputError(path, stage, expected, f"{acquired} samples")
    kspace = np.zeros((n_planes, n_coils, n_y, n_x), np.complex64)
    count = np.zeros((n_planes, n_y, n_x), np.float32)
    for head, _, values in readouts:
        first, last, row = _extent(head, n_y)
        line = int(head["idx"]["kspace_encode_step_1"]) + n_x // 2 - encoding.centre_line
        plane = _plane(head, encoding, slices)
        if not (0 <= row < row + last - first <= n_y and 0 <= line < n_x and 0 <= plane < n_planes):
            received = f"samples {row} to {row + last - first} of line {line}"
            if n_z > 1:
                received += f", partition {plane}"
            raise InputError(path, stage, f"readouts inside (y, x) = ({n_y}, {n_x})", received)
        samples = values.view(np.complex64).reshape(n_coils, -1)
        if head["flags"] & REVERSED:
            samples = samples[:, ::-1]
        rows = slice(row, row + last - first)
        # What is not finite stays so, and is refused when all is sorted.
        with np.errstate(invalid="ignore", over="ignore"):
            kspace[plane, :, rows, line] += samples[:, first:last]
        count[plane, rows, line] += 1
    kspace /= np.maximum(count, 1)[:, None]
    bad = kspace.size - np.count_nonzero(np.isfinite(kspace))
    if bad:
        raise InputError(path, stage, "finite k-space", f"{bad} NaN or infinite of {kspace.size}")
    return torch.from_numpy(kspace), torch.from_numpy(count > 0)


def _coils(path: Path, stage: str, readouts: Array) -> int:
    heads = readouts["head"]
    coils = np.unique(heads["active_channels"])
    if coils.size != 1 or coils[0] == 0:
        raise InputError(path, stage, "as many coils in every readout", f"{coils.tolist()}")
    n_coils = int(coils[0])
    for n_samples, values in zip(heads["number_of_samples"].tolist(), readouts["data"], strict=True):
        if values.size != 2 * n_coils * n_samples:
            expected = f"{2 * n_coils * n_samples} numbers in a readout"
            raise InputError(path, stage, expected, str(values.size))
    return n_coils


def _extent(head: Any, n_y: int) -> tuple[int, int, int]:
    """First sample that counts, the one behind the last, in the order of y, and the row of the first."""
    n_samples, centre = int(head["number_of_samples"]), int(head["center_sample"])
    first, last = int(head["discard_pre"]), n_samples - int(head["discard_post"])
    if not head["flags"] & REVERSED:
        return first, last, first + n_y // 2 - centre
    first, last, centre = n_samples - last, n_samples - first, n_samples - 1 - centre
    # Mirrored about its centre, a readout of even length reaches one step beyond the grid.
    row = first + n_y // 2 - centre
    return first, min(last, first + n_y - row), row


def _plane(head: Any, encoding: Encoding, slices: Array) -> int:
    if encoding.matrix[2] > 1:
        return int(head["idx"]["kspace_encode_step_2"]) + encoding.matrix[2] // 2 - encoding.centre_partition
    return int(np.searchsorted(slices, head["idx"]["slice"]))
