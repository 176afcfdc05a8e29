"""The part of a volume that is worth looking at."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects


def bounding_box(inside: npt.NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """Find the smallest box around all that is inside.

    Args:
        inside: mask of any number of axes, somewhere True.
        margin: voxels that the box is wider on each side, as far as the volume goes.

    Example:
        >>> bounding_box(np.array([False, False, False, True, False]), margin=2)
        (slice(1, 6, None),)
    """
    box = find_objects(inside.astype(np.uint8))[0]
    return tuple(slice(max(0, extent.start - margin), extent.stop + margin) for extent in box)
