"""Regions of the brain that tissues do not tell apart: ventricles from sulci, cortex from deep grey matter."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kseg.transforms.head import CrispHead, canonical
from kseg.transforms.head_shell import coordinates
from kseg.transforms.label_codes import LabelCodes
from kseg.transforms.mni_structures import cerebellum, deep_grey, hippocampus, stem, ventricles
from kseg.transforms.nifti import NiftiVolume

REGIONS = ("elsewhere", "ventricle", "cortex", "white", "infratentorial")
"""What each index of a map of regions means: fluid of the lateral ventricles; grey matter of the cerebral cortex;
white matter of the cerebrum; white matter of cerebellum and brain stem; and all else."""

Regions = npt.NDArray[np.uint8]


def regions_from_labels(volume: NiftiVolume, codes: LabelCodes) -> Regions:
    """Translate a label map to regions, as `head_from_labels` does to tissues.

    Args:
        volume: label map in any orientation.
        codes: what its values mean.

    Returns:
        Index into `REGIONS` of the canonical volume, `(z, y, x)`.

    Raises:
        ValueError: a table that does not tell regions apart.
    """
    if not codes.regions:
        raise ValueError(f"brain regions: expected a code table with regions, received {codes.name}")
    labels, _, _ = canonical(volume.array, volume.affine)
    return _painted({name: np.isin(labels, codes.regions[name]) for name in REGIONS[1:]})


def regions_of_mni152(head: CrispHead) -> Regions:
    """Find the regions of the embedded head by their coordinates.

    Args:
        head: the head of `mni152_head`.

    Returns:
        Index into `REGIONS`, `(z, y, x)`.
    """
    at = coordinates(head.indices.shape, head.affine)
    csf, gm, wm = (head.indices == head.tissues.index(tissue) for tissue in ("csf", "gm", "wm"))
    below = cerebellum(at) | stem(at)
    deep = deep_grey(at) | hippocampus(at)
    return _painted(
        {
            "ventricle": csf & ventricles(at) & ~below,
            "cortex": gm & ~deep & ~below,
            "white": wm & ~below,
            "infratentorial": wm & below,
        }
    )


def _painted(masks: Mapping[str, npt.NDArray[np.bool_]]) -> Regions:
    regions = np.zeros(masks["white"].shape, dtype=np.uint8)
    for name, mask in masks.items():
        regions[mask] = REGIONS.index(name)
    return regions
