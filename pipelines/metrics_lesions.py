"""How many lesions were found, and how many were made up: lesions as things, whatever their size."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST_MM3 = 3.0
"""Volume below which a component is no lesion: the default of the MSSEG challenge's tool, see `count_lesions`."""

_ROUNDING = 1e-6


@dataclass(frozen=True)
class LesionRule:
    """Which classes are lesions, and what counts as one.

    Args:
        classes: names of the classes whose components are counted; none by default.
        smallest_mm3: components of less volume are not counted.
    """

    classes: tuple[str, ...] = ()
    smallest_mm3: float = SMALLEST_MM3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.smallest_mm3) and self.smallest_mm3 >= 0):
            raise ValueError(
                f"smallest lesion: expected a volume of 0 mm3 or more, received {self.smallest_mm3:g}"
            )

    def require_known(self, classes: Collection[str]) -> None:
        """Require that the lesion classes are among those of a segmentation.

        Args:
            classes: names of its classes.

        Raises:
            ValueError: one is not.
        """
        unknown = [name for name in self.classes if name not in classes]
        if unknown:
            raise ValueError(
                f"lesions: expected classes of {', '.join(classes)}, received {', '.join(unknown)}"
            )


@dataclass(frozen=True)
class LesionCounts:
    """Lesions of one class in one case.

    Args:
        reference: lesions of the reference.
        detected: those of them that the prediction overlaps.
        false_positives: lesions of the prediction that overlap nothing of the reference.
    """

    reference: int
    detected: int
    false_positives: int

    @property
    def true_positive_rate(self) -> float | None:
        """Share of the reference's lesions that was detected; None where there is none to detect."""
        return self.detected / self.reference if self.reference else None


def count_lesions(
    predicted: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    smallest_mm3: float = SMALLEST_MM3,
) -> LesionCounts:
    """Count the lesions that were found and those that were made up.

    A lesion is a connected component: voxels that share a face, an edge or a corner belong together. One of the
    reference is detected where it shares at least one voxel with the prediction, and one of the prediction is a
    false positive where it shares none with the reference: the rule of the ISBI 2015 challenge, which asks whether
    both see the same lesion and not whether they outline it alike. Components below `smallest_mm3` are counted on
    neither side; an overlap with one of them is an overlap nonetheless.

    Args:
        predicted: where lesions were found, `(x, y, slice)`.
        reference: where they are, on the same grid.
        spacing_mm: distance between voxel centres along each axis.
        smallest_mm3: volume below which a component is no lesion.

    Raises:
        ValueError: the masks and the spacing do not describe one grid.

    Reference:
        Overlap: Carass et al. 2017, Longitudinal multiple sclerosis lesion segmentation, NeuroImage 148,
        doi:10.1016/j.neuroimage.2016.12.064 (LTPR; components of 18 neighbours there, so that voxels which touch
        at a corner alone are two lesions). Smallest volume: Commowick et al. 2018, Objective evaluation of multiple
        sclerosis lesion segmentation (MSSEG 2016), doi:10.1038/s41598-018-31911-7, and its animaSegPerfAnalyzer.

    Example:
        >>> reference = np.zeros((8, 8, 2), bool)
        >>> reference[0:2, 0:2] = reference[5:7, 5:7] = True
        >>> predicted = np.zeros((8, 8, 2), bool)
        >>> predicted[1:3, 1:3] = predicted[5:7, 0:2] = True
        >>> count_lesions(predicted, reference, (1.0, 1.0, 1.0))
        LesionCounts(reference=2, detected=1, false_positives=1)
    """
    if not predicted.shape == reference.shape or len(spacing_mm) != predicted.ndim:
        raise ValueError(
            f"lesion counts: expected reference and spacing of the grid {predicted.shape}, "
            f"received {reference.shape} and {len(spacing_mm)} spacings"
        )
    smallest = smallest_mm3 / math.prod(spacing_mm) * (1 - _ROUNDING)
    counted, hit = _components(reference, predicted, smallest)
    claimed, right = _components(predicted, reference, smallest)
    return LesionCounts(counted, hit, claimed - right)


def _components(mask: NDArray[np.bool_], other: NDArray[np.bool_], smallest: float) -> tuple[int, int]:
    """Components of at least so many voxels, and how many of them share a voxel with the other mask."""
    labels, number = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(labels[mask], minlength=number + 1)[1:]
    shared = np.bincount(labels[mask & other], minlength=number + 1)[1:]
    large = sizes >= smallest
    return int(large.sum()), int((large & (shared > 0)).sum())
