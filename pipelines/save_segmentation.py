"""Save segmentations of a MONAI workflow on the grid of the k-space or image they were made from."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray
from torch import Tensor

from kseg.transforms.dictionary import Item
from kseg.transforms.nifti import write_nifti


class SaveSegmentationd(MapTransform):
    """Write labels to `OUTPUT_DIR/CASE_seg.nii.gz`, whole or not at all, with the affine of the input as it is.

    Unlike `SaveImaged`, which a kill can leave with a truncated file and which forgets the units.

    Args:
        keys: labels, whole numbers 0..255: `(1, slice, y, x)` of k-space; of images MetaTensors `(1, x, y, z)`, whose
            metadata know their `original_affine`.
        output_dir: where the files go; subfolders of the case are made.
        meta_key: where an item of k-space holds the `affine` that maps `(x, y, slice)` to RAS millimetres; items
            without it are of images.
        case_key: where it holds the name of the case, a relative path.
        ending: what the file's name has behind that of the case, with an underscore between.
        allow_missing_keys: let items without a key pass.

    Raises:
        InputError: in a call, an affine that NIfTI cannot hold.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str,
        meta_key: str = "image_meta_dict",
        case_key: str = "case",
        ending: str = "seg",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.meta_key = meta_key
        self.case_key = case_key
        self.ending = ending

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return the item as it is."""
        item = dict(data)
        for key in self.key_iterator(item):
            path = self.output_dir / f"{item[self.case_key]}_{self.ending}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            voxels = self.voxels(item[key])
            if self.meta_key in item:
                voxels, affine = voxels.transpose(2, 1, 0), item[self.meta_key]["affine"]
            else:
                affine = item[key].meta["original_affine"]
            write_nifti(path, voxels, np.asarray(affine, np.float64))
        return item

    def voxels(self, values: Tensor) -> NDArray[Any]:
        """What is written of one volume, without the axis of channels."""
        return np.asarray(values[0].cpu()).astype(np.uint8)
