"""Distance to the surface of a region."""

import numpy as np
import numpy.typing as npt
import SimpleITK


def signed_distance(
    inside: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.float32]:
    """Distance of every voxel centre to the surface of a region.

    The surface lies beyond the centres of the outermost voxels by half of the smallest voxel size.

    Args:
        inside: voxels of the region, `(z, y, x)`.
        spacing_mm: voxel size along (z, y, x), millimetres.

    Returns:
        Distance `(z, y, x)`, millimetres, negative inside; infinite if there is no surface.

    Reference:
        Maurer et al. 2003, A linear time algorithm for computing exact Euclidean distance transforms.

    Example:
        >>> signed_distance(np.array([[[False, True, True]]]), (1.0, 1.0, 2.0))[0, 0]
        array([ 1.5, -0.5, -2.5], dtype=float32)
    """
    if inside.all() or not inside.any():
        return np.full(inside.shape, -np.inf if inside.all() else np.inf, dtype=np.float32)
    image = SimpleITK.GetImageFromArray(inside.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    # The filter measures to the centres of the region's outermost voxels, half a voxel within its surface.
    distance = SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return np.asarray(SimpleITK.GetArrayFromImage(distance) - min(spacing_mm) / 2, dtype=np.float32)
