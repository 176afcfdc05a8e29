"""How well one structure was segmented: overlap, distance between surfaces, volumes."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.utils import get_mask_edges, get_surface_distance
from numpy.typing import NDArray

# Two axes whose cosine is below this stand at right angles; the distance error is of the same order.
_COSINE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class StructureMetrics:
    """Agreement of one predicted structure with its reference.

    A structure present in one of the two only has Dice 0 and infinite distances; one present in neither has
    no Dice, no IoU and no distances (None), because there is nothing to agree on.

    Args:
        dice: 2 |P and R| / (|P| + |R|), in [0, 1].
        hausdorff_mm: largest distance from any surface voxel of one structure to the surface of the other.
        hausdorff95_mm: the same with the 95th percentile in place of the largest, taken in each direction;
            the larger of the two directions counts.
        predicted_ml: volume of the prediction.
        reference_ml: volume of the reference.
    """

    dice: float | None
    hausdorff_mm: float | None
    hausdorff95_mm: float | None
    predicted_ml: float
    reference_ml: float

    @property
    def iou(self) -> float | None:
        """Intersection over union, |P and R| / |P or R|, in [0, 1]; None where there is no Dice."""
        return None if self.dice is None else self.dice / (2 - self.dice)

    @property
    def absent(self) -> bool:
        """In neither the reference nor the prediction."""
        return self.dice is None

    @property
    def missed(self) -> bool:
        """In the reference, not in the prediction."""
        return self.predicted_ml == 0 and self.reference_ml > 0

    @property
    def spurious(self) -> bool:
        """In the prediction, not in the reference."""
        return self.reference_ml == 0 and self.predicted_ml > 0


def structure_metrics(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> StructureMetrics:
    """Compare two masks of one structure.

    A surface voxel is one with a face neighbour outside the structure (outside the grid counts as outside),
    and distances join voxel centres. An axis one voxel long is left out of the surface, so that a single
    slice is compared by its contour.

    Args:
        predicted: where the structure was found, (x, y, slice) or (y, x).
        reference: where it is, on the same grid.
        spacing_mm: distance between voxel centres along each axis of the masks.

    Raises:
        ValueError: the masks and the spacing do not describe one grid.

    Example:
        >>> box = np.zeros((8, 8, 4), bool)
        >>> box[1:4, 2:6, 1:3] = True
        >>> metrics = structure_metrics(np.roll(box, 1, axis=2), box, (1.0, 1.0, 3.0))
        >>> metrics.dice, metrics.hausdorff_mm, metrics.reference_ml
        (0.5, 3.0, 0.072)
    """
    if not predicted.shape == reference.shape or len(spacing_mm) != predicted.ndim:
        raise ValueError(
            f"structure metrics: expected reference and spacing of the grid {predicted.shape}, "
            f"received {reference.shape} and {len(spacing_mm)} spacings"
        )
    voxel_mm3 = math.prod(spacing_mm)
    n_predicted, n_reference = int(predicted.sum()), int(reference.sum())
    volumes_ml = (n_predicted * voxel_mm3 / 1000, n_reference * voxel_mm3 / 1000)
    if n_predicted == 0 and n_reference == 0:
        return StructureMetrics(None, None, None, *volumes_ml)
    if n_predicted == 0 or n_reference == 0:
        return StructureMetrics(0.0, math.inf, math.inf, *volumes_ml)
    overlap = int(np.logical_and(predicted, reference).sum())
    directions = _surface_distances_mm(predicted, reference, spacing_mm)
    return StructureMetrics(
        2 * overlap / (n_predicted + n_reference),
        max(float(distances.max()) for distances in directions),
        max(float(np.percentile(distances, 95)) for distances in directions),
        *volumes_ml,
    )


def voxel_spacing_mm(affine: NDArray[np.float64]) -> tuple[float, ...]:
    """Read the distance between voxel centres along each axis from an affine.

    Args:
        affine: 4 x 4, from voxel indices to millimetres.

    Raises:
        ValueError: the axes are not at right angles (a sheared grid): spacings alone do not give distances.

    Example:
        >>> voxel_spacing_mm(np.diag([-1.0, 2.0, 3.0, 1.0]))
        (1.0, 2.0, 3.0)
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if cosine > _COSINE_TOLERANCE:
        raise ValueError(
            f"affine: expected voxel axes at right angles (cosine up to {_COSINE_TOLERANCE}), "
            f"received cosine {cosine:.3g}"
        )
    return tuple(float(value) for value in spacing)


def _surface_distances_mm(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    axes = [axis for axis, length in enumerate(predicted.shape) if length > 1] or [0]
    shape = [predicted.shape[axis] for axis in axes]
    spacing = [spacing_mm[axis] for axis in axes]
    # MONAI crops to the box around both structures before it looks for edges.
    edges = get_mask_edges(
        torch.from_numpy(predicted.reshape(shape)), torch.from_numpy(reference.reshape(shape))
    )
    there = get_surface_distance(edges[0], edges[1], spacing=spacing)
    back = get_surface_distance(edges[1], edges[0], spacing=spacing)
    return np.asarray(there), np.asarray(back)
