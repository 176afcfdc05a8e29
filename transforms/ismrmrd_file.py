"""Raw scans in ISMRMRD (MRD) HDF5 files: readouts sorted into Cartesian k-space."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import Encoding, read_encoding

# The package resets the process's warning filters when it is imported.
with warnings.catch_warnings():
    import ismrmrd

Array = npt.NDArray[Any]

STAGE = "read k-space"
GROUP = "dataset"


def _bits(*flags: int) -> np.uint64:
    return np.uint64(sum(1 << (flag - 1) for flag in flags))


NOT_IMAGING = _bits(
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)
REVERSED = _bits(ismrmrd.ACQ_IS_REVERSE)
SINGLE_COUNTERS = ("kspace_encode_step_2", "contrast", "phase", "repetition", "set")


@dataclass(frozen=True, eq=False)
class RawScan:
    """Readouts sorted into a grid.

    Attributes:
        kspace: complex64 (slice, coil, y, x), zero where nothing was acquired; lines acquired several times
            are averaged; the centre of k-space lies at index n // 2 of y and of x.
        sampled: bool (slice, y, x), what was acquired.
        encoding: extent of the grid.
    """

    kspace: Tensor
    sampled: Tensor
    encoding: Encoding


def is_raw_scan(file: h5py.File) -> bool:
    """Whether an open HDF5 file holds ISMRMRD readouts.

    Args:
        file: open for reading.
    """
    return f"{GROUP}/data" in file and f"{GROUP}/xml" in file


def read_raw_scan(file: h5py.File, path: Path) -> RawScan:
    """Read a Cartesian stack of slices, one or several coils, fully sampled or with lines left out.

    The readout becomes the y axis, phase-encoding step 1 the x axis. Noise, navigator, calibration-only and
    other readouts that are no part of the image are left out.

    Args:
        file: open for reading; `is_raw_scan` holds.
        path: its name, for messages.

    Raises:
        InputError: not Cartesian; three-dimensional; several contrasts, phases, repetitions or sets; reversed
            readouts (echo-planar); or readouts that do not fit the matrix in the header.
    """
    encoding = read_encoding(file[f"{GROUP}/xml"][0], path, STAGE)
    # All at once: ismrmrd.Dataset.read_acquisition opens the file's table anew for every readout.
    readouts = file[f"{GROUP}/data"][()]
    if readouts.dtype.names != ismrmrd.hdf5.acquisition_dtype.names:
        raise InputError(path, STAGE, "ISMRMRD readouts (head, traj, data)", str(readouts.dtype.names))
    readouts = readouts[readouts["head"]["flags"] & NOT_IMAGING == 0]
    _require_stack_of_slices(path, encoding, readouts["head"])
    return _sort(path, encoding, readouts)


def _require_stack_of_slices(path: Path, encoding: Encoding, heads: Array) -> None:
    if encoding.trajectory != "cartesian":
        raise InputError(path, STAGE, "a Cartesian trajectory", encoding.trajectory)
    if heads.size == 0:
        raise InputError(path, STAGE, "at least one imaging readout", "none")
    for counter in SINGLE_COUNTERS:
        values = np.unique(heads["idx"][counter])
        if values.size > 1:
            raise InputError(path, STAGE, f"one {counter} (a single stack of slices)", str(values.size))
    if (heads["flags"] & REVERSED).any():
        raise InputError(path, STAGE, "readouts in one direction", "reversed readouts (echo-planar)")
    coils = np.unique(heads["active_channels"])
    if coils.size > 1:
        raise InputError(path, STAGE, "as many coils in every readout", f"{coils.tolist()}")


def _sort(path: Path, encoding: Encoding, readouts: Array) -> RawScan:
    n_y, n_x, _ = encoding.matrix
    n_slices = int(readouts["head"]["idx"]["slice"].max()) + 1
    n_coils = int(readouts["head"]["active_channels"][0])
    kspace = np.zeros((n_slices, n_coils, n_y, n_x), np.complex64)
    count = np.zeros((n_slices, n_y, n_x), np.float32)
    for head, _, values in readouts:
        n_samples = int(head["number_of_samples"])
        if values.size != 2 * n_coils * n_samples:
            expected = f"{2 * n_coils * n_samples} numbers in a readout"
            raise InputError(path, STAGE, expected, str(values.size))
        shift = n_y // 2 - int(head["center_sample"])
        first, last = int(head["discard_pre"]), n_samples - int(head["discard_post"])
        line = int(head["idx"]["kspace_encode_step_1"]) + n_x // 2 - encoding.centre_line
        if not (0 <= first + shift < last + shift <= n_y and 0 <= line < n_x):
            received = f"samples {first + shift} to {last + shift} of line {line}"
            raise InputError(path, STAGE, f"readouts inside (y, x) = ({n_y}, {n_x})", received)
        rows, slice_ = slice(first + shift, last + shift), int(head["idx"]["slice"])
        samples = values.view(np.complex64).reshape(n_coils, n_samples)
        kspace[slice_, :, rows, line] += samples[:, first:last]
        count[slice_, rows, line] += 1
    kspace /= np.maximum(count, 1)[:, None]
    return RawScan(torch.from_numpy(kspace), torch.from_numpy(count > 0), encoding)
