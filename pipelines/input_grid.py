"""The grid of an input, to which results have to get."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class InputGrid:
    """The grid of an input, and the way from a network to it.

    Attributes:
        affine: maps (x, y, z) indices to RAS millimetres, 4 x 4.
        to_grid: turns results `(slice, channel, y, x)` into `(x, y, z, channel)`.
        notes: what the reader of the results should know.
        files: what the input was read from; of a DICOM series the file of each slice, along z of the grid.
        is_dicom: whether that is a DICOM series.
    """

    affine: npt.NDArray[np.float64]
    to_grid: Callable[[Tensor], npt.NDArray[Any]]
    notes: list[str]
    files: tuple[Path, ...]
    is_dicom: bool = False
