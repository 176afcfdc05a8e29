"""BrainWeb's digital heads, read from the files that its users have.

The volumes are McGill's and are not part of this package: https://brainweb.bic.mni.mcgill.ca.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kseg.transforms.brainweb_volume import (
    FORMATS,
    STAGE,
    BrainWebModel,
    brainweb_model,
    read_brainweb_volume,
    volume_format,
)
from kseg.transforms.errors import InputError
from kseg.transforms.head import CrispHead, FuzzyHead
from kseg.transforms.label_codes import load_label_codes

# Shorts carry a label in their upper twelve bits; the lower four are not always zero.
_LARGEST_CRISP_SHORT = 0xFF
_LARGEST_FUZZY_SHORT = 4095
# Background voxels of the vessel volumes hold 1 of 255, or 16 of 4095, instead of 0.
_VESSEL_FLOOR = 1.5 / 255

_FUZZY_CLASSES = {
    "brainweb_20": {
        "csf": ("csf",),
        "gm": ("gm", "gry"),
        "wm": ("wm", "wht"),
        "fat": ("fat",),
        "muscle": ("muscles", "mus"),
        "skin": ("muscles_skin", "m-s"),
        "bone": ("skull", "skl"),
        "vessel": ("vessels", "ves"),
        "connective": ("fat2",),
        "dura": ("dura",),
        "marrow": ("marrow", "mrw"),
    },
    "brainweb_normal": {
        "csf": ("csf",),
        "gm": ("gry", "gm"),
        "wm": ("wht", "wm"),
        "fat": ("fat",),
        "muscle": ("m+s",),
        "skin": ("skn",),
        "bone": ("skl",),
        "connective": ("mit",),
    },
}
# Indices of voxels of twice the size to indices of the voxels they join.
_DOUBLED = np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])


def read_brainweb(path: str | os.PathLike[str], model: str) -> CrispHead:
    """Read a crisp (discrete) model: one tissue per voxel.

    Args:
        path: `.rawb`, `.raws`, `.mnc` or `.nii`, each also with `.gz`. The axes of a NIfTI file are those its
            affine tells, right or wrong.
        model: `brainweb_20` for one of the 20 normal models, `brainweb_normal` for the original phantom or an
            MS one. Their codes differ, and a file does not say which it is.

    Raises:
        ValueError: no such model.
        InputError: unreadable, not of the model's size, or not labels of the model.
    """
    path = Path(path)
    geometry = brainweb_model(model)
    volume, affine = read_brainweb_volume(path, geometry, _LARGEST_CRISP_SHORT)
    labels = volume >> 4 if volume_format(path) == ".raws" else _whole(path, volume)
    codes = load_label_codes(model)
    try:
        indices = codes.tissue_indices(labels)
    except ValueError as error:
        raise InputError(path, STAGE, f"labels of the model {model}", str(error)) from error
    if not (indices == codes.tissues.index("gm")).any():
        raise InputError(path, STAGE, "a head with grey matter", f"labels 0..{labels.max()} without any")
    return CrispHead(indices, codes.tissues, (geometry.spacing_mm,) * 3, affine)


def read_brainweb_fuzzy(folder: str | os.PathLike[str], subject: str, model: str) -> FuzzyHead:
    """Read a fuzzy model: the share of every tissue in each voxel, one file per tissue.

    Volumes at 0.5 mm are averaged to 1 mm, which keeps a head of 11 tissues at 0.3 GB.

    Args:
        folder: where the files lie.
        subject: how their names begin: `subject04` for `subject04_csf_v.rawb.gz`, `subject04_gm_v.rawb.gz`
            and so on, or `phantom_1.0mm_normal` for `phantom_1.0mm_normal_csf.mnc` and so on. The formats
            are those of `read_brainweb`; the background volume is not needed.
        model: as for `read_brainweb`.

    Raises:
        ValueError: no such model.
        InputError: a tissue is missing or there twice, or a volume is unreadable, not of the model's size, or
            out of range.
    """
    folder = Path(folder)
    geometry = brainweb_model(model)
    classes = _FUZZY_CLASSES[model]
    shares = []
    for tissue, names in classes.items():
        path = _find(folder, subject, names)
        if path is None:
            wanted = " or ".join(f"{subject}_{name}[_v]" for name in names)
            raise InputError(folder, STAGE, f"a file {wanted} ending in {', '.join(FORMATS)} or .gz", "none")
        share, affine = _share(path, geometry)
        if tissue == "vessel":
            share[share < _VESSEL_FLOOR] = 0
        shares.append(_average_pairs(share) if geometry.spacing_mm < 1 else share)
    glial = _find(folder, subject, ("gli",)) if model == "brainweb_normal" else None
    if glial is not None:
        shares[list(classes).index("gm")] += _share(glial, geometry)[0]
    total = np.sum(shares, axis=0)
    # Rounding to bytes leaves sums a little off 1 in many voxels; a wrong scale leaves them far off in most.
    if np.mean(total > 1.25) > 0.01:
        raise InputError(folder, STAGE, "shares that add up to at most 1", f"up to {total.max():.2f}")
    if geometry.spacing_mm < 1:
        affine = affine @ _DOUBLED
    memberships = np.stack([np.clip(1 - total, 0, 1), *shares])
    return FuzzyHead(memberships, ("air", *classes), (1.0, 1.0, 1.0), affine)


def _share(path: Path, model: BrainWebModel) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Share of a tissue, 0 to 1: bytes are 255ths, shorts 4095ths, floating-point values shares already."""
    volume, affine = read_brainweb_volume(path, model, _LARGEST_FUZZY_SHORT)
    full = {"u1": 255, "u2": _LARGEST_FUZZY_SHORT, "i2": _LARGEST_FUZZY_SHORT}.get(volume.dtype.str[1:], 1)
    low, high = float(volume.min()), float(volume.max())
    if low < -1e-3 or high > full * (1 + 1e-3):
        raise InputError(path, STAGE, f"values 0..{full}", f"{low:g}..{high:g}")
    return volume.astype(np.float32) / np.float32(full), affine


def _whole(path: Path, volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if volume.dtype.kind in "iu":
        return volume
    labels: npt.NDArray[Any] = np.rint(volume)
    if np.abs(volume - labels).max() > 1e-3 or labels.min() < 0 or labels.max() > 255:
        raise InputError(
            path, STAGE, "whole labels 0..255", f"{volume.min():g}..{volume.max():g}, or fractions"
        )
    return labels.astype(np.uint8)


def _find(folder: Path, subject: str, names: tuple[str, ...]) -> Path | None:
    endings = [f"{ending}{suffix}{gz}" for ending in ("", "_v") for suffix in FORMATS for gz in ("", ".gz")]
    paths = [folder / f"{subject}_{name}{ending}" for name in names for ending in endings]
    found = [path for path in paths if path.is_file()]
    if len(found) > 1:
        raise InputError(folder, STAGE, "one file per tissue", ", ".join(path.name for path in found))
    return found[0] if found else None


def _average_pairs(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    z, y, x = (size // 2 for size in volume.shape)
    pairs: npt.NDArray[np.float32] = volume.reshape(z, 2, y, 2, x, 2).mean((1, 3, 5))
    return pairs
