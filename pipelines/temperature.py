"""The one number that makes the probabilities of a network as sure as they should be."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from kseg.pipelines.calibration import require_labels_of
from kseg.pipelines.cases import find_volumes, one_file
from kseg.pipelines.find_segmentations import companion
from kseg.pipelines.probability_file import read_probabilities
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import read_label_map

_STAGE = "fit temperature"
_SMALLEST = torch.finfo(torch.float32).tiny
_LOWEST, _HIGHEST = 0.05, 20.0


def at_temperature(probabilities: Tensor, temperature: float, axis: int) -> Tensor:
    """Divide the logits of probabilities by a temperature; classes keep their order.

    Args:
        probabilities: of each class, summing to 1 along an axis. Averages of several have logits as well: their
            logarithms, but for a constant, which changes nothing.
        temperature: a positive number; above 1 the result is less sure.
        axis: axis of the classes.

    Example:
        >>> at_temperature(torch.tensor([0.9, 0.1]), 2.0, axis=0)  # 3 to 1
        tensor([0.7500, 0.2500])
    """
    if temperature == 1:
        return probabilities
    return (_logits(probabilities) / temperature).softmax(axis)


def fit_temperature(cases: Iterable[tuple[NDArray[np.floating], NDArray[np.integer]]]) -> float:
    """Find the temperature at which probabilities give the truth the largest likelihood.

    `at_temperature` then gives calibrated probabilities of the same most probable classes. Fit it on cases other
    than those whose calibration is measured.

    Args:
        cases: probabilities `(... class)`, made with temperature 1, and labels `(...)` of each case. Those of
            another temperature give a factor to multiply it with.

    Raises:
        ValueError: no case, labels of other voxels or classes, or a temperature that is not between 0.05 and 20,
            as where all probabilities are wrong, or right.

    Reference:
        Guo et al. 2017, On calibration of modern neural networks, Section 4.2.

    Example:
        >>> sure = np.array([[0.9, 0.1]] * 4)
        >>> round(fit_temperature([(sure, np.array([0, 0, 0, 1]))]), 3)  # log 9 / log 3
        2.0
    """
    logits, truth = [], []
    for probabilities, labels in cases:
        require_labels_of(probabilities, labels)
        values = torch.from_numpy(probabilities.astype(np.float32, copy=False))
        logits.append(_logits(values).flatten(0, -2))
        truth.append(torch.from_numpy(labels.astype(np.int64)).flatten())
    if not logits:
        raise ValueError("temperature: expected at least one case, received none")

    def surprise(logarithm: float) -> float:
        pairs = zip(logits, truth, strict=True)
        scale = math.exp(-logarithm)
        return sum(float(cross_entropy(values * scale, labels, reduction="sum")) for values, labels in pairs)

    bounds = (math.log(_LOWEST), math.log(_HIGHEST))
    best = minimize_scalar(surprise, bounds=bounds, method="bounded")
    for border in bounds:
        if surprise(border) <= best.fun:
            expected = f"probabilities whose best temperature is between {_LOWEST} and {_HIGHEST:g}"
            raise ValueError(f"temperature: expected {expected}, received {math.exp(border):.3g} or beyond")
    return math.exp(best.x)


def read_calibration_cases(
    predictions: Path, references: Path
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.integer]]]:
    """Read what a temperature is fitted to; voxels whose label has no probability are left out.

    Args:
        predictions: folder of `NAME_prob.nii.gz`, as `kseg segment --probabilities` writes it.
        references: folder of `NAME.nii.gz` label maps; each has to have probabilities of its name.

    Yields:
        Probabilities `(voxel, class)` and labels `(voxel)` of each case.

    Raises:
        InputError: a folder or a file that is missing, damaged, or on another grid.
    """
    for case, paths in find_volumes(references).items():
        reference = read_label_map(one_file({case: paths}, case, references, _STAGE))
        path = companion(predictions, case, "prob")
        if path is None:
            raise InputError(
                predictions / f"{case}_prob.nii.gz", _STAGE, "probabilities of the case", "nothing"
            )
        probabilities = read_probabilities(path, reference)
        known = reference.array < probabilities.shape[-1]
        yield probabilities[known], reference.array[known]


def _logits(probabilities: Tensor) -> Tensor:
    # Those that became zero in float32 count as the smallest that would not have.
    return probabilities.clamp_min(_SMALLEST).log()
