"""Raw scans in ISMRMRD (MRD) HDF5 files: one Cartesian stack of slices out of all readouts."""

import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg.transforms.coil_mixing import noise_covariance, prewhiten
from kseg.transforms.coil_sensitivities import calibration_region, estimate_sensitivities
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.hdf5_checks import kind, require_plausible_size
from kseg.transforms.ismrmrd_geometry import place_slices
from kseg.transforms.ismrmrd_header import Encoding, read_encoding
from kseg.transforms.ismrmrd_sort import sort_readouts
from kseg.transforms.readout_oversampling import kept_voxels, remove_oversampling, thin_mask

# The package resets the process's warning filters when it is imported.
with warnings.catch_warnings():
    import ismrmrd

Array = npt.NDArray[Any]

STAGE = "read k-space"
RAW_DATASETS = DATA, XML = "dataset/data", "dataset/xml"
"""Where a file has its readouts, and its header."""


def _bits(*flags: int) -> np.uint64:
    return np.uint64(sum(1 << (flag - 1) for flag in flags))


NOISE = _bits(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
CALIBRATION = _bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
_NOT_USED = "readouts for calibration not used"
NO_IMAGE = _bits(
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)


@dataclass(frozen=True)
class StackChoice:
    """Which of several stacks of slices in one file; each counts from 0 through those that there are.

    Attributes:
        contrast: echo.
        phase: cardiac phase.
        repetition: of a series.
        set: of any other kind.
    """

    contrast: int = 0
    phase: int = 0
    repetition: int = 0
    set: int = 0


@dataclass(frozen=True, eq=False)
class RawScan:
    """A stack of slices.

    Attributes:
        kspace: complex64 (slice, coil, y, x), zero where nothing was acquired; lines acquired several times
            are averaged; the centre of k-space lies at index n // 2 of y and of x.
        sampled: bool (slice, y, x), what was acquired.
        affine: 4 x 4, maps (x, y, slice) indices to RAS millimetres.
        maps: sensitivities (coil, slice, y, x) from readouts that were acquired for them alone; None without any.
        notes: what was chosen, done, or is not known.
    """

    kspace: Tensor
    sampled: Tensor
    affine: npt.NDArray[np.float64]
    maps: Tensor | None
    notes: tuple[str, ...]


def is_raw_scan(file: h5py.File) -> bool:
    """Whether an open HDF5 file holds ISMRMRD readouts.

    Args:
        file: open for reading.
    """
    return DATA in file and XML in file


def read_raw_scan(file: h5py.File, path: Path, choice: StackChoice | None = None) -> RawScan:
    """Read a Cartesian stack of slices, one or several coils, fully sampled or with lines left out.

    The readout becomes the y axis, its oversampling is removed; phase-encoding step 1 becomes the x axis. A slab is
    transformed to slices. Averages are averaged. Noise measurements whiten the coils; readouts for calibration alone
    give sensitivities; navigators and all else that is no part of the image are left out. Readouts that were sampled
    backwards are turned.

    Args:
        file: open for reading; `is_raw_scan` holds.
        path: its name, for messages.
        choice: which contrast, phase, repetition and set; the first of each if not given.

    Raises:
        InputError: not Cartesian, no such contrast or repetition, several slabs, a slab whose lines differ between
            partitions, or readouts that do not fit each other or the matrix in the header.
    """
    _require_readouts(path, file)
    encoding = read_encoding(file[XML][0], path, STAGE)
    if encoding.trajectory != "cartesian":
        raise InputError(path, STAGE, "a Cartesian trajectory", encoding.trajectory)
    require_plausible_size(path, STAGE, file[DATA])
    # All at once: ismrmrd.Dataset.read_acquisition opens the file's table anew for every readout.
    readouts = file[DATA][()]
    flags = readouts["head"]["flags"]
    of_scan = readouts[(flags & NO_IMAGE == 0) & (readouts["head"]["encoding_space_ref"] == 0)]
    # Embedded lines are of the same scan; others may have another contrast.
    apart = (of_scan["head"]["flags"] & CALIBRATION != 0) & (encoding.calibration != "embedded")
    image, notes = _chosen(path, of_scan[~apart], choice or StackChoice())
    slices = _slices(path, encoding, image["head"])
    covariance = _noise(path, readouts[flags & NOISE != 0], image["head"])
    shown = encoding.without_oversampling()

    def scan(some: Array) -> tuple[Tensor, Tensor]:
        kspace, sampled = sort_readouts(path, STAGE, some, encoding, slices)
        if covariance is not None:
            kspace = prewhiten(kspace, covariance)
        n_y = shown.matrix[0]
        if n_y < kspace.shape[2]:
            kspace, sampled = remove_oversampling(kspace, n_y), thin_mask(sampled, n_y)
            kspace *= sampled[:, None]
        return kspace, sampled

    kspace, sampled = scan(image)
    placed = place_slices(path, STAGE, _first_of_each(image["head"], slices), shown)
    notes += placed.notes
    if covariance is not None:
        notes.append(f"{len(covariance)} coils pre-whitened")
    calibrated = apart.any() and kspace.shape[1] > 1
    if encoding.matrix[2] > 1:
        if calibrated:
            notes.append(f"{_NOT_USED}: the scan is a slab")
        kspace, sampled = _slab_to_slices(path, kspace, sampled, shown.matrix[2])
        return RawScan(kspace, sampled, placed.affine, None, tuple(notes))
    maps = None
    of_image = of_scan[apart & np.isin(of_scan["head"]["idx"]["slice"], slices)]
    if calibrated and not of_image.size:
        notes.append(f"{_NOT_USED}: they are of slices that the image does not have")
    elif calibrated:
        try:
            maps = _sensitivities(*scan(of_image))[:, placed.order]
            notes.append("sensitivities estimated from readouts for calibration")
        except ValueError as error:
            notes.append(f"{_NOT_USED}: {error}")
    return RawScan(kspace[placed.order], sampled[placed.order], placed.affine, maps, tuple(notes))


def _require_readouts(path: Path, file: h5py.File) -> None:
    for name in RAW_DATASETS:
        if not isinstance(file[name], h5py.Dataset):
            raise InputError(path, STAGE, f"a dataset `{name}`", kind(file[name]))
    # Before anything is read: the HDF5 library may crash when it converts numbers of a damaged kind.
    if h5py.check_string_dtype(file[XML].dtype) is None or file[XML].shape != (1,):
        raise InputError(path, STAGE, "an XML ISMRMRD header", kind(file[XML]))
    found, expected = file[DATA].dtype, ismrmrd.hdf5.acquisition_dtype
    if found.names != expected.names:
        raise InputError(path, STAGE, "ISMRMRD readouts (head, traj, data)", kind(file[DATA]))
    of_samples = [h5py.check_vlen_dtype(found[name]) for name in ("traj", "data")]
    if _members(found["head"]) != _members(expected["head"]) or of_samples != [np.dtype(np.float32)] * 2:
        raise InputError(path, STAGE, "ISMRMRD readouts", "heads or samples of another kind")


def _members(dtype: np.dtype[Any]) -> list[Any]:
    """Names and kinds of all members of a record, wherever they lie in it."""
    if dtype.fields is None:
        return [dtype]
    return [(name, _members(dtype[name])) for name in dtype.fields]


def _chosen(path: Path, readouts: Array, choice: StackChoice) -> tuple[Array, list[str]]:
    """Readouts of one stack, and a note for everything that there are several of."""
    notes = []
    for field in fields(StackChoice):
        name, wanted = field.name, getattr(choice, field.name)
        found = np.unique(readouts["head"]["idx"][name])
        if found.size == 0:
            raise InputError(path, STAGE, "at least one imaging readout", "none")
        if not 0 <= wanted < found.size:
            raise InputError(path, STAGE, f"a {name} number 0..{found.size - 1}", str(wanted))
        readouts = readouts[readouts["head"]["idx"][name] == found[wanted]]
        if found.size > 1:
            notes.append(f"{name} {wanted + 1} of {found.size}")
    return readouts, notes


def _slices(path: Path, encoding: Encoding, heads: Array) -> Array:
    slices: Array = np.unique(heads["idx"]["slice"])
    if slices[-1] - slices[0] >= slices.size:
        received = f"{slices.size} between {slices[0]} and {slices[-1]}"
        raise InputError(path, STAGE, "slices without a gap", received)
    if encoding.matrix[2] > 1 and slices.size > 1:
        raise InputError(path, STAGE, "one slab", str(slices.size))
    if encoding.matrix[2] == 1 and heads["idx"]["kspace_encode_step_2"].any():
        raise InputError(path, STAGE, "a matrix with partitions, as the readouts have them", "one partition")
    return slices


def _first_of_each(heads: Array, slices: Array) -> Array:
    first: Array = heads[[int(np.argmax(heads["idx"]["slice"] == each)) for each in slices]]
    return first


def _noise(path: Path, readouts: Array, imaging: Array) -> Tensor | None:
    """Covariance of the coils' noise, or None where it is not known or there is one coil."""
    n_coils = int(imaging["active_channels"][0])
    if readouts.size == 0 or n_coils == 1:
        return None
    for head, _, values in readouts:
        if head["active_channels"] != n_coils or values.size != 2 * n_coils * int(head["number_of_samples"]):
            received = f"{head['active_channels']} coils, {values.size} numbers"
            raise InputError(path, STAGE, f"noise of {n_coils} coils", received)
    samples = [values.view(np.complex64).reshape(n_coils, -1) for values in readouts["data"]]
    try:
        covariance = noise_covariance(torch.from_numpy(np.concatenate(samples, axis=1)))
        prewhiten(torch.zeros(n_coils, 1, 1, dtype=torch.complex64), covariance)
    except ValueError as error:
        raise InputError(path, STAGE, "a usable noise measurement", str(error)) from error
    return covariance


def _sensitivities(kspace: Tensor, sampled: Tensor) -> Tensor:
    return estimate_sensitivities(kspace, calibration_region(sampled, kspace.shape[2]))


def _slab_to_slices(path: Path, kspace: Tensor, sampled: Tensor, n_slices: int) -> tuple[Tensor, Tensor]:
    """Transform partitions `(partition, coil, y, x)` to the slices in the middle of the slab."""
    filled = sampled.flatten(1).any(dim=1)
    common = sampled[filled].any(dim=0)
    if not torch.equal(sampled[filled], common.expand_as(sampled[filled])):
        raise InputError(path, STAGE, "the same lines in every partition of a slab", "others")
    kept = kept_voxels(len(kspace), n_slices)
    # A last axis of length 1 makes the transform one along the slab.
    coils = [ifft2c(coil.permute(1, 2, 0).unsqueeze(-1))[..., kept, 0] for coil in kspace.unbind(1)]
    slices = torch.stack(coils).permute(3, 0, 1, 2) * common
    return slices.contiguous(), common.expand(n_slices, -1, -1).contiguous()
