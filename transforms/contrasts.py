"""Images of several contrasts as the channels of one volume."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from kseg.transforms.dictionary import Item
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import read_nifti, require_same_grid

_STAGE = "read contrasts"


class LoadContrastsd(MapTransform):
    """Read images of one grid: their paths become a MetaTensor `(contrast, x, y, z)`, float32, in file order.

    Its metadata name the files, `filename_or_obj`, and hold their `original_affine` and `notes` of what is not known,
    one on each line.

    Args:
        keys: paths of NIfTI files, in the order of the channels, or the path of one.
        allow_missing_keys: let items without a key pass.

    Raises:
        InputError: in a call, a file that cannot be used, one on another grid than the first, or one without
            contrast.
    """

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with the volume."""
        item = dict(data)
        for key in self.key_iterator(item):
            paths = [Path(path) for path in ensure_tuple(item[key])]
            volumes = [read_nifti(path) for path in paths]
            for path, volume in zip(paths, volumes, strict=True):
                require_same_grid(path, volume, volumes[0], _STAGE)
                if volume.array.min() == volume.array.max():
                    received = f"{volume.array.flat[0]:g} everywhere"
                    raise InputError(path, _STAGE, "an image with contrast", received)
                largest = np.abs(volume.array).max()
                if not largest < np.finfo(np.float32).max:
                    raise InputError(path, _STAGE, "values that float32 holds", f"{largest:g}")
            array = np.stack([volume.array.astype(np.float32) for volume in volumes])
            names = ", ".join(map(str, paths))
            affine = torch.from_numpy(volumes[0].affine)
            # Lists of different lengths make no batch.
            notes = "\n".join(dict.fromkeys(note for volume in volumes for note in volume.notes))
            meta = {"filename_or_obj": names, "original_affine": affine, "notes": notes}
            item[key] = MetaTensor(torch.from_numpy(array), affine=affine, meta=meta)
        return item
