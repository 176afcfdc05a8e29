"""Where the slices of an ISMRMRD scan lie in the patient."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import Encoding

Array = npt.NDArray[Any]

_TO_RAS = np.array([-1.0, -1.0, 1.0])
_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class Placement:
    """Order and place of the slices of a stack.

    Attributes:
        order: indices that bring the slices into their order along the stack.
        affine: 4 x 4, maps (x, y, slice) indices of the ordered stack to RAS millimetres.
        notes: what is not known.
    """

    order: Array
    affine: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()


def place_slices(path: Path, stage: str, heads: Array, encoding: Encoding) -> Placement:
    """Place the slices of a stack by the position and directions of their readouts.

    Positions are those of the voxel at index n // 2 of y and x (of a three-dimensional scan: of the slice, too). A
    scan whose readouts have no directions is placed by its header alone, see `Encoding.affine`.

    Args:
        path: the file, for messages.
        stage: the step that reads it, for messages.
        heads: ISMRMRD heads, one readout of each slice.
        encoding: extent of the grid that the slices are on.

    Raises:
        InputError: slices that are not parallel, or not equally spaced.
    """
    n_slices, n_partitions = len(heads), encoding.matrix[2]
    along = {name: np.asarray(heads[f"{name}_dir"], np.float64) for name in ("read", "phase", "slice")}
    if not _orthonormal(along):
        note = "position unknown: axes taken as right, anterior, superior"
        return Placement(np.arange(n_slices), encoding.affine(n_slices * n_partitions), (note,))
    if any(np.abs(each - each[0]).max() > _TOLERANCE for each in along.values()):
        raise InputError(path, stage, "parallel slices", "slices of several directions")
    centres = np.asarray(heads["position"], np.float64)
    if not np.isfinite(centres).all():
        raise InputError(path, stage, "finite positions of slices", "NaN or infinite")
    height = centres @ along["slice"][0]
    steps = np.diff(height)
    order: Array = np.arange(n_slices)
    if not ((steps > 0).all() or (steps < 0).all()):
        order = np.argsort(height, kind="stable")
    readout, phase, thickness = (fov / n for fov, n in zip(encoding.fov_mm, encoding.matrix, strict=True))
    columns = np.stack(
        [along["phase"][0] * phase, along["read"][0] * readout, along["slice"][0] * thickness], axis=1
    )
    first = centres[order[0]]
    if n_slices > 1:
        columns[:, 2] = _step(path, stage, centres[order])
    corner = np.array([encoding.matrix[1] // 2, encoding.matrix[0] // 2, n_partitions // 2])
    affine = np.eye(4)
    affine[:3, :3] = columns * _TO_RAS[:, None]
    affine[:3, 3] = (first - columns @ corner) * _TO_RAS
    return Placement(order, affine)


def _orthonormal(along: dict[str, Array]) -> bool:
    axes = np.stack(list(along.values()), axis=1)
    if not np.isfinite(axes).all():
        return False
    products = axes @ axes.transpose(0, 2, 1)
    return bool((np.abs(products - np.eye(3)) < _TOLERANCE).all())


def _step(path: Path, stage: str, centres: Array) -> Array:
    """From one slice to the next."""
    steps = np.diff(centres, axis=0)
    step = steps.mean(axis=0)
    length = np.linalg.norm(step)
    if length == 0 or np.linalg.norm(steps - step, axis=1).max() > _TOLERANCE * length + 1e-3:
        lengths = np.unique(np.linalg.norm(steps, axis=1).round(2))
        raise InputError(path, stage, "equally spaced slices", f"steps of {lengths[:4].tolist()} mm")
    return np.asarray(step)
