"""K-space volumes in HDF5: fastMRI's layout with the affine and the noise level added.

Axes are (slice, coil, y, x) with phase encoding along x and the centre of k-space at index n // 2. An image
array (slice, y, x) becomes NIfTI (x, y, slice); the affine maps (x, y, slice) indices to RAS millimetres;
nothing is flipped. No patient identifier is read or written.
"""

import os
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg import __version__
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError, require_file
from kseg.transforms.hdf5_checks import kind, require_plausible_size, require_sound_heap
from kseg.transforms.ismrmrd_file import RAW_DATASETS, StackChoice, is_raw_scan, read_raw_scan
from kseg.transforms.ismrmrd_header import header_xml, read_encoding
from kseg.transforms.nifti import is_invertible
from kseg.transforms.readout_oversampling import kept_voxels, remove_oversampling, thin_mask

READ, WRITE = "read k-space", "write k-space"
DAMAGE = (OSError, MemoryError, KeyError, RuntimeError, TypeError, ValueError)

Array = npt.NDArray[Any]
Affine = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KSpaceVolume:
    """The k-space of a stack of slices and what is known about its acquisition.

    Attributes:
        kspace: complex64 (slice, coil, y, x).
        mask: bool, what was sampled: lines (x,), lines of each slice (slice, x), or samples (slice, y, x).
        affine: 4 x 4, maps (x, y, slice) indices to RAS millimetres.
        sigma: standard deviation of the noise in the real and in the imaginary part of each sample; None if
            unknown.
        seed: seed of the simulation; None for a measurement.
        subject: pseudonym of the subject, the name of the file if it holds none.
        mask_inferred: the file holds no mask; the empty samples were taken as not sampled.
        maps: sensitivities of the coils, complex64 (coil, slice, y, x), the slice axis 1 if all share them; None if
            unknown.
        notes: what the reader of the file chose and did.
    """

    kspace: Tensor
    mask: Tensor
    affine: Affine
    sigma: float | None
    seed: int | None
    subject: str
    mask_inferred: bool = False
    maps: Tensor | None = None
    notes: tuple[str, ...] = ()


def write_kspace(path: str | os.PathLike[str], volume: KSpaceVolume) -> None:
    """Write a k-space volume that kseg reads back bit for bit and that fastMRI's readers accept.

    Arrays and the file's structure carry checksums. The coil axis is left out when there is one coil.

    Args:
        path: ends in `.h5` for fastMRI's and MONAI's readers; replaced if it exists.
        volume: what to write; `mask_inferred` and `notes` are not stored.

    Raises:
        InputError: the parts of the volume do not fit together.
    """
    path = Path(path)
    _require_consistent(path, WRITE, volume)
    kspace = volume.kspace.numpy(force=True)
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    arrays = {"mask": volume.mask.numpy(force=True), "affine": volume.affine.astype(np.float64)}
    if volume.maps is not None:
        arrays["sensitivities"] = volume.maps.movedim(0, 1).numpy(force=True)
    # The newer structure has checksums, which the default, older one has not.
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver="v110") as file:
        stored = kspace[:, 0] if kspace.shape[1] == 1 else kspace
        file.create_dataset("kspace", data=stored, chunks=(1, *stored.shape[1:]), fletcher32=True)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
        file["ismrmrd_header"] = _text(header_xml(kspace.shape, (spacing[0], spacing[1], spacing[2])))
        file.attrs.update(subject=_text(volume.subject), kseg_version=_text(__version__))
        if volume.sigma is not None:
            file.attrs["sigma"] = float(volume.sigma)
        if volume.seed is not None:
            file.attrs["seed"] = np.int64(volume.seed)


def read_kspace(path: str | os.PathLike[str], choice: StackChoice | None = None) -> KSpaceVolume:
    """Read a k-space volume of kseg, of fastMRI, or an ISMRMRD raw scan.

    A file without an affine gets one from the field of view in its ISMRMRD header (see
    `kseg.transforms.ismrmrd_header.Encoding.affine`), and oversampling of its readout is removed. A file without a
    mask gets the one that its empty lines show, and `mask_inferred` says so. Lines of other programs that are empty
    in all slices, as those that fill up the matrix, count as not sampled.

    Args:
        path: an HDF5 file.
        choice: which contrast, phase, repetition and set of a raw scan; the first of each if not given.

    Raises:
        InputError: no such file, empty, truncated, damaged, or its content is no usable k-space.
    """
    path = Path(path)
    require_file(path, READ)
    if not h5py.is_hdf5(path):
        raise InputError(path, READ, "an HDF5 file", "a file of another kind")
    try:
        with h5py.File(path, "r") as file:
            variable = [file[name] for name in (*RAW_DATASETS, "ismrmrd_header") if name in file]
            require_sound_heap(path, READ, [each for each in variable if isinstance(each, h5py.Dataset)])
            volume = _read_raw(path, file, choice) if is_raw_scan(file) else _read_sorted(path, file)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(path, READ, "an intact HDF5 file", f"{type(error).__name__}: {error}") from error
    _require_consistent(path, READ, volume)
    return volume


def smallest_mask(sampled: Tensor) -> Tensor:
    """Say in as few numbers as possible what was sampled.

    Args:
        sampled: bool (slice, y, x).

    Returns:
        Lines (x,) when every line is sampled completely or not at all and all slices that hold anything
        agree, lines of each slice (slice, x) when slices differ, else samples (slice, y, x).

    Example:
        >>> sampled = torch.tensor([[1, 0, 1], [1, 0, 1]], dtype=torch.bool).expand(4, 2, 3)
        >>> smallest_mask(sampled)
        tensor([ True, False,  True])
    """
    lines = sampled.any(dim=1)
    if not torch.equal(sampled, lines[:, None].expand_as(sampled)):
        return sampled
    filled = lines[lines.any(dim=1)]
    common: Tensor = filled.any(dim=0)
    return common if torch.equal(filled, common.expand_as(filled)) else lines


def _text(text: str) -> Array:
    # Of fixed length: HDF5 keeps other strings in a heap without checksum, and can hang on a damaged one.
    encoded = text.encode()
    return np.array(encoded, h5py.string_dtype("utf-8", len(encoded)))


def _read_raw(path: Path, file: h5py.File, choice: StackChoice | None) -> KSpaceVolume:
    scan = read_raw_scan(file, path, choice)
    mask = smallest_mask(scan.sampled)
    return KSpaceVolume(
        scan.kspace, mask, scan.affine, None, None, path.stem, maps=scan.maps, notes=scan.notes
    )


def _read_sorted(path: Path, file: h5py.File) -> KSpaceVolume:
    kspace = _read_samples(path, file)
    mask = _read_mask(path, file, kspace.shape) if "mask" in file else None
    volume = KSpaceVolume(
        kspace=kspace,
        mask=smallest_mask((kspace != 0).any(dim=1)) if mask is None else mask,
        affine=_read_affine(path, file) if "affine" in file else np.eye(4),
        sigma=_attribute(path, file, "sigma", float, int),
        seed=_attribute(path, file, "seed", int),
        subject=_attribute(path, file, "subject", str) or path.stem,
        mask_inferred=mask is None,
        maps=_read_maps(path, file) if "sensitivities" in file else None,
    )
    _require_consistent(path, READ, volume)
    return volume if "affine" in file else _placed_by_header(path, file, volume)


def _placed_by_header(path: Path, file: h5py.File, volume: KSpaceVolume) -> KSpaceVolume:
    """What other programs wrote: with its affine, without oversampling, and without empty lines in its mask."""
    if "ismrmrd_header" not in file:
        raise InputError(path, READ, "an `affine`, or an `ismrmrd_header` with the field of view", "neither")
    header = file["ismrmrd_header"]
    if not isinstance(header, h5py.Dataset) or h5py.check_string_dtype(header.dtype) is None or header.shape:
        raise InputError(path, READ, "a text as `ismrmrd_header`", kind(header))
    require_plausible_size(path, READ, header)
    encoding = read_encoding(header[()], path, READ)
    kspace, mask, maps = volume.kspace, volume.mask, volume.maps
    if encoding.matrix[:2] != tuple(kspace.shape[2:]):
        expected = f"k-space of the encoded matrix (y, x) = {encoding.matrix[:2]}, or an `affine`"
        raise InputError(path, READ, expected, f"(y, x) = {tuple(kspace.shape[2:])}")
    mask = mask & (kspace != 0).flatten(0, 2).any(dim=0)
    shown = encoding.without_oversampling()
    n_samples, n_y = kspace.shape[2], shown.matrix[0]
    if n_y < n_samples:
        kspace = remove_oversampling(kspace, n_y)
        if mask.ndim == 3:
            if (mask[:, 1:] & ~mask[:, :-1]).sum(dim=1).add(mask[:, 0]).max() > 1:
                raise InputError(path, READ, "readouts without holes, being oversampled", "some with holes")
            mask = thin_mask(mask, n_y)
            kspace *= mask[:, None]
        maps = None if maps is None else maps[:, :, kept_voxels(n_samples, n_y)]
    notes = (f"readout oversampling removed: {n_y} of {n_samples} voxels kept",) if n_y < n_samples else ()
    affine = shown.affine(len(kspace))
    return replace(volume, kspace=kspace, mask=mask, maps=maps, affine=affine, notes=notes)


def _read_array(
    path: Path, file: h5py.File, name: str, expected: str, *, kinds: str, ranks: Container[int] = range(33)
) -> Array:
    """An array of the file, looked at before memory is taken for it."""
    # Not `file.get`, which takes a damaged dataset for a missing one.
    dataset = file[name]
    is_array = isinstance(dataset, h5py.Dataset) and dataset.dtype.kind in kinds and dataset.ndim in ranks
    # Nothing has the size None.
    if not is_array or not dataset.size:
        raise InputError(path, READ, expected, kind(dataset))
    require_plausible_size(path, READ, dataset)
    return np.asarray(dataset[()])


def _read_complex(path: Path, file: h5py.File, name: str, axes: str, ranks: Container[int]) -> Array:
    array = _read_array(path, file, name, f"complex `{name}` {axes}", kinds="c", ranks=ranks)
    # What is beyond complex64 becomes infinite, which is refused in its turn.
    with np.errstate(over="ignore"):
        return array.astype(np.complex64, copy=False)


def _read_samples(path: Path, file: h5py.File) -> Tensor:
    if "kspace" not in file:
        # Not by their names: other programs put anything there, patients' data too.
        raise InputError(path, READ, "a dataset `kspace`", f"{len(file)} others")
    array = _read_complex(path, file, "kspace", "(slice, y, x) or (slice, coil, y, x)", (3, 4))
    return torch.from_numpy(array if array.ndim == 4 else array[:, None])


def _read_mask(path: Path, file: h5py.File, shape: tuple[int, ...]) -> Tensor:
    mask = _read_array(path, file, "mask", "a mask of zeros and ones", kinds="biuf")
    if not np.isin(mask, (0, 1)).all():
        raise InputError(path, READ, "a mask of zeros and ones", str(mask[~np.isin(mask, (0, 1))].flat[0]))
    # Some programs keep axes of length 1, so that the mask spreads over their k-space.
    if mask.ndim > 1 and mask.shape not in _mask_shapes(shape) and mask.size == shape[-1]:
        mask = mask.reshape(-1)
    return torch.from_numpy(mask.astype(bool))


def _read_maps(path: Path, file: h5py.File) -> Tensor:
    array = _read_complex(path, file, "sensitivities", "(slice, coil, y, x)", (4,))
    return torch.from_numpy(array).movedim(1, 0)


def _read_affine(path: Path, file: h5py.File) -> Affine:
    affine = _read_array(path, file, "affine", "an `affine` of real numbers", kinds="iuf")
    return affine.astype(np.float64)


def _mask_shapes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    n_slices, _, n_y, n_x = shape
    return ((n_x,), (n_slices, n_x), (n_slices, n_y, n_x))


def _attribute(path: Path, file: h5py.File, name: str, *kinds: type) -> Any:
    if name not in file.attrs:
        return None
    value = file.attrs[name]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, kinds):
        raise InputError(path, READ, f"attribute {name} of type {kinds[0].__name__}", type(value).__name__)
    return value


def _require_consistent(path: Path, stage: str, volume: KSpaceVolume) -> None:
    kspace, mask = volume.kspace, volume.mask
    if kspace.dtype != torch.complex64 or kspace.ndim != 4:
        received = f"{kspace.dtype} of shape {tuple(kspace.shape)}"
        raise InputError(path, stage, "torch.complex64 k-space (slice, coil, y, x)", received)
    bad = kspace.numel() - int(kspace.isfinite().sum())
    if bad:
        raise InputError(path, stage, "finite k-space", f"{bad} NaN or infinite of {kspace.numel()}")
    if not kspace.any():
        raise InputError(path, stage, "k-space with a signal", "zeros only")
    n_slices, n_coils, n_y, n_x = kspace.shape
    shapes = _mask_shapes(kspace.shape)
    if mask.dtype != torch.bool or tuple(mask.shape) not in shapes:
        expected = "a boolean mask (x,) = {}, (slice, x) = {} or (slice, y, x) = {}".format(*shapes)
        raise InputError(path, stage, expected, f"{mask.dtype} of shape {tuple(mask.shape)}")
    if not mask.any():
        raise InputError(path, stage, "a mask with sampled lines", "none")
    if volume.maps is not None:
        maps = volume.maps
        if tuple(maps.shape) not in [(n_coils, count, n_y, n_x) for count in (1, n_slices)]:
            expected = f"sensitivities (coil, slice, y, x) = {(n_coils, n_slices, n_y, n_x)}"
            raise InputError(path, stage, expected, str(tuple(maps.shape)))
        if maps.dtype != torch.complex64 or not maps.isfinite().all() or not maps.any():
            raise InputError(
                path, stage, "finite complex64 sensitivities", f"{maps.dtype}, zero or not finite"
            )
    if not is_invertible(volume.affine):
        raise InputError(path, stage, "an invertible 4 x 4 affine", str(volume.affine))
    if not volume.subject:
        raise InputError(path, stage, "a subject", "an empty name")
    if volume.sigma is not None and not 0 <= volume.sigma < np.inf:
        raise InputError(path, stage, "a noise level sigma >= 0", str(volume.sigma))
    if volume.seed is not None and not 0 <= volume.seed < 2**63:
        raise InputError(path, stage, "a seed 0..2**63 - 1", str(volume.seed))
