"""Read the probabilities that lie beside a segmentation."""

import gzip
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from kseg.transforms.errors import InputError
from kseg.transforms.nifti import DAMAGE, NiftiVolume, require_same_grid

_STAGE = "read probabilities"
_TOLERANCE = 1e-3


def read_probabilities(path: Path, like: NiftiVolume) -> NDArray[np.float32]:
    """Read class probabilities.

    Args:
        path: NIfTI file `(x, y, slice, class)`, as `kseg segment --probabilities` writes it.
        like: the volume on whose grid they have to be.

    Returns:
        Probabilities `(x, y, slice, class)`.

    Raises:
        InputError: a damaged file, other axes or another grid, values that are not in [0, 1] or do not add up to 1.
    """
    try:
        content = path.read_bytes()
        # Decompressed whole, so that the checksum at the end is verified.
        image = Nifti1Image.from_bytes(gzip.decompress(content) if path.suffix == ".gz" else content)
        values = np.asarray(image.dataobj, np.float32)
    except DAMAGE as error:
        raise InputError(path, _STAGE, "an intact NIfTI file", f"{type(error).__name__}: {error}") from error
    if values.ndim != 4 or values.shape[3] < 2:
        raise InputError(path, _STAGE, "four axes (x, y, slice, class)", f"shape {values.shape}")
    require_same_grid(path, NiftiVolume(values[..., 0], image.affine), like, _STAGE)
    in_range = (values >= -_TOLERANCE) & (values <= 1 + _TOLERANCE)
    if not in_range.all():
        raise InputError(path, _STAGE, "values in [0, 1]", f"{values[~in_range].flat[0]:g}")
    sums = values.sum(-1)
    if np.abs(sums - 1).max() > _TOLERANCE:
        worst = sums.flat[np.abs(sums - 1).argmax()]
        raise InputError(path, _STAGE, "probabilities that add up to 1", f"a sum of {worst:g}")
    return values
