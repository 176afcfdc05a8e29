"""The embedded head: the MNI152 average brain that nilearn carries, sharpened, in a modelled head."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK
import torch
from scipy.ndimage import gaussian_filter, label

from kseg.transforms.bounding_box import bounding_box
from kseg.transforms.head import CrispHead
from kseg.transforms.head_shell import TISSUES, Coordinates, coordinates, wrap_brain
from kseg.transforms.mni_structures import cerebellum, deep_grey, hippocampus, stem, ventricles
from kseg.transforms.random_field import random_field
from kseg.transforms.signed_distance import signed_distance

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

CSF, GM, WM = 1, 2, 3

# The average brain is larger than the average of brains: 1.9 litres within the skull.
_SCALE = 0.91
# What the maps lack: the neck, and beside the ears so much that a larger subject made from this head is not cut.
_NECK_MM, _ROOM_MM = 26, 8
_ISOTROPIC = (1.0, 1.0, 1.0)
_SEED = 152


def mni152_head() -> CrispHead:
    """Make the embedded head, always the same; it takes some seconds, most of them to import nilearn.

    The maps are averages over people: cortex is blurred in them, and folds that differ between people are
    lost. They are sharpened to one class per voxel, and folds are put back where grey matter would be thicker
    than cortex is. The result has the look and the volumes of a head, but is nobody's.

    Returns:
        Head at 1 mm, 0.91 times the size of the MNI152 space that its affine is aligned with.

    Reference:
        Fonov et al. 2011, Unbiased average age-appropriate atlases for pediatric studies (ICBM 152 nonlinear
        2009a).
    """
    gm, wm, inside, affine = _load_maps()
    generator = torch.Generator().manual_seed(_SEED)
    at = coordinates(gm.shape, affine)
    box = bounding_box(inside, margin=5)
    near = at.crop(box)
    brain = np.zeros(gm.shape, dtype=np.uint8)
    brain[box] = _fold(_sharpened(gm[box], wm[box], inside[box], near), gm[box], wm[box], near, generator)
    return CrispHead(wrap_brain(brain, at, generator), TISSUES, _ISOTROPIC, affine)


def mni152_file() -> Path:
    """File of the packaged grey matter, which stands for the embedded head where a file is asked for."""
    # Its import takes seconds.
    from nilearn.datasets.struct import GM_MNI152_FILE_PATH

    return Path(GM_MNI152_FILE_PATH)


def _load_maps() -> tuple[Array, Array, Mask, npt.NDArray[np.float64]]:
    """Grey and white matter (0 to 1) and brain mask, `(z, y, x)` at 1 mm, and their affine for (x, y, z)."""
    # Its import takes seconds, and only this function needs it.
    from nilearn import datasets

    gm, wm, inside = (
        load(resolution=1)
        for load in (
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
            datasets.load_mni152_brain_mask,
        )
    )
    start = _SCALE * gm.affine[:3, 3]
    start -= (_ROOM_MM, 0, _NECK_MM)
    affine = np.eye(4)
    affine[:3, 3] = start
    size = np.ceil(_SCALE * np.array(gm.shape)).astype(int)
    size += (2 * _ROOM_MM, 0, _NECK_MM)
    volumes = []
    for image in (gm, wm, inside):
        volume = SimpleITK.GetImageFromArray(np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0))
        volume.SetSpacing([_SCALE] * 3)
        volume.SetOrigin((_SCALE * gm.affine[:3, 3]).tolist())
        volume = SimpleITK.Resample(
            volume, size.tolist(), SimpleITK.Transform(), SimpleITK.sitkLinear, start.tolist(), [1.0] * 3
        )
        volumes.append(SimpleITK.GetArrayFromImage(volume))
    return volumes[0], volumes[1], volumes[2] > 0.5, affine


def _sharpened(gm: Array, wm: Array, inside: Mask, at: Coordinates) -> Labels:
    """The class that stands out most from its surroundings, 0 outside the brain."""
    csf = np.clip(1 - gm - wm, 0, 1) * inside
    # Fluid and white matter of thin folds have lost most to averaging.
    weighted = (1.3 * csf, gm, 1.1 * wm)
    contrast = [share + 4 * (share - gaussian_filter(share, 3)) for share in weighted]
    classes = np.argmax(contrast, axis=0)
    # Deep grey matter has soft borders, not folds.
    soft = np.argmax((1.2 * csf, gm, wm), axis=0)
    brain = (np.where(deep_grey(at) | stem(at), soft, classes) + 1).astype(np.uint8)
    brain[stem(at) & (brain == GM)] = WM
    brain[~inside] = 0
    return brain


def _fold(brain: Labels, gm: Array, wm: Array, at: Coordinates, generator: torch.Generator) -> Labels:
    """Replace cortex that is too thick by a sulcus or a gyrus, whichever the maps hint at."""
    axes = tuple(torch.arange(size, dtype=torch.float32) for size in brain.shape)
    hint, thickness, pial = random_field(3, (axes[0], axes[1], axes[2]), 8.0, generator).numpy()
    csf = np.where(brain > 0, 1 - gm - wm, 0)
    fluid_like = _local_contrast(csf) - _local_contrast(wm) + 0.5 * hint
    cortex = ~(deep_grey(at) | stem(at) | cerebellum(at) | hippocampus(at))
    folded = brain.copy()
    thick = (brain == GM) & (_depth(brain) > 2) & cortex
    folded[thick & (fluid_like > 0.8)] = CSF
    depth = _depth(folded)
    folded[(folded == GM) & (depth > 2.6 + 0.3 * thickness) & (fluid_like < 0.9) & cortex] = WM
    # White matter never meets the fluid of a sulcus.
    bare = (folded == WM) & (depth < 1.55 + 0.3 * pial) & cortex & ~ventricles(at) & (at.z > -28)
    folded[bare] = GM
    for tissue in (CSF, WM):
        pieces, _ = label(folded == tissue)
        folded[(np.bincount(pieces.ravel()) < 30)[pieces] & (folded == tissue)] = GM
    return folded


def _local_contrast(share: Array) -> Array:
    detail = gaussian_filter(share, 0.8) - gaussian_filter(share, 4)
    contrast: Array = detail / np.sqrt(gaussian_filter(detail**2, 12) + 1e-6)
    return contrast


def _depth(brain: Labels) -> Array:
    """Distance of grey and white matter from fluid and from the outside, millimetres."""
    return -signed_distance((brain == GM) | (brain == WM), _ISOTROPIC)
