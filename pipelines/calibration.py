"""Whether probabilities can be taken at their word."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_N_BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence and accuracy of voxels; confidence is the probability of the most probable class.

    Args:
        counts: voxels in each of 15 equally wide bins of confidence from 0 to 1.
        confidence: sum of their confidences, for each bin.
        correct: how many of them truly are of the most probable class, for each bin.
    """

    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_N_BINS))
    confidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_N_BINS))
    correct: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_N_BINS))

    def __add__(self, other: "Reliability") -> "Reliability":
        """Pool the voxels of both."""
        return Reliability(
            self.counts + other.counts, self.confidence + other.confidence, self.correct + other.correct
        )

    @property
    def expected_calibration_error(self) -> float | None:
        """Mean over the voxels of |accuracy - mean confidence| of their bin; None where there is no voxel.

        Reference:
            Guo et al. 2017, On calibration of modern neural networks, Eq. 3.
        """
        n_voxels = self.counts.sum()
        return float(np.abs(self.correct - self.confidence).sum() / n_voxels) if n_voxels else None

    @property
    def bins(self) -> list[dict[str, float]]:
        """Voxels, mean confidence and accuracy of each bin that holds a voxel, by confidence."""
        filled = zip(self.counts, self.confidence, self.correct, strict=True)
        return [
            {
                "voxels": int(count),
                "confidence": float(confidence / count),
                "accuracy": float(correct / count),
            }
            for count, confidence, correct in filled
            if count
        ]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Reliability of a segmentation.

    Args:
        everywhere: of all voxels; most are background, which is easy.
        structures: of the voxels whose most probable class is a structure. A choice that the prediction alone
            makes leaves calibrated probabilities calibrated; one that the truth makes would not.
    """

    everywhere: Reliability = field(default_factory=Reliability)
    structures: Reliability = field(default_factory=Reliability)

    def __add__(self, other: "Calibration") -> "Calibration":
        """Pool the voxels of both."""
        return Calibration(self.everywhere + other.everywhere, self.structures + other.structures)

    @property
    def errors(self) -> dict[str, float | None]:
        """Expected calibration error of both, as JSON takes it."""
        return {
            "expected_calibration_error": self.everywhere.expected_calibration_error,
            "structures_expected_calibration_error": self.structures.expected_calibration_error,
        }

    @property
    def bins(self) -> dict[str, list[dict[str, float]]]:
        """Bins of both, as JSON takes them."""
        return {"everywhere": self.everywhere.bins, "structures": self.structures.bins}

    def __str__(self) -> str:
        """Both errors, in one line."""
        errors = self.errors.values()
        everywhere, structures = ("-" if error is None else f"{error:.4f}" for error in errors)
        return f"expected calibration error: {everywhere} everywhere, {structures} where a structure is seen"


def measure_calibration(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Calibration:
    """Compare probabilities with the truth.

    Args:
        probabilities: of each class, background first, summing to 1, `(... class)`.
        labels: the true class of each voxel, `(...)`.

    Raises:
        ValueError: labels of other voxels or classes than the probabilities.

    Example:
        >>> probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]])
        >>> print(measure_calibration(probabilities, np.array([0, 1, 1, 1])))
        expected calibration error: 0.0625 everywhere, 0.1250 where a structure is seen
    """
    require_labels_of(probabilities, labels)
    found = probabilities.argmax(-1)
    confidence, correct = probabilities.max(-1), found == labels
    structures = found > 0
    return Calibration(
        _reliability(confidence, correct), _reliability(confidence[structures], correct[structures])
    )


def require_labels_of(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Require labels of the same voxels and classes as the probabilities.

    Args:
        probabilities: of each class, `(... class)`.
        labels: classes `(...)`.

    Raises:
        ValueError: they are not.
    """
    voxels, n_classes = probabilities.shape[:-1], probabilities.shape[-1]
    if labels.shape != voxels:
        raise ValueError(f"calibration: expected labels of the voxels {voxels}, received {labels.shape}")
    if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        received = f"{labels.min()}..{labels.max()}"
        raise ValueError(f"calibration: expected labels 0..{n_classes - 1}, received {received}")


def _reliability(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> Reliability:
    # Not MONAI's calibration_binning: its sums in float32 are off by some thousandths for a volume.
    values, right = np.clip(confidence, 0, 1).astype(np.float64).ravel(), correct.astype(np.float64).ravel()
    weights = (np.ones_like(values), values, right)
    return Reliability(*(np.histogram(values, _N_BINS, (0, 1), weights=each)[0] for each in weights))
