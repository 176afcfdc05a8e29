"""Expected calibration error: closed forms, an independent implementation, and what it must not depend on."""

import json

import numpy as np
import pytest
import torch
from monai.metrics.calibration import calibration_binning
from numpy.typing import NDArray

from kseg.pipelines.calibration import Calibration, Reliability, measure_calibration


def dirichlet(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet((0.6, 0.4, 0.4, 0.4), n)


def drawn_labels(probabilities: NDArray[np.float64], seed: int = 1) -> NDArray[np.int64]:
    """Labels that are exactly as probable as said."""
    uniform = np.random.default_rng(seed).random((*probabilities.shape[:-1], 1))
    return np.minimum((probabilities.cumsum(-1) < uniform).sum(-1), probabilities.shape[-1] - 1)


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    probabilities = dirichlet(200_000)
    calibration = measure_calibration(probabilities, drawn_labels(probabilities))
    assert calibration.everywhere.expected_calibration_error == pytest.approx(0, abs=0.005)
    assert calibration.structures.expected_calibration_error == pytest.approx(0, abs=0.006)
    surer = probabilities**3 / (probabilities**3).sum(-1, keepdims=True)
    overconfident = measure_calibration(surer, drawn_labels(probabilities))
    assert overconfident.everywhere.expected_calibration_error > 0.1


@pytest.mark.parametrize(("confidence", "accuracy"), [(0.9, 0.6), (0.55, 1.0), (1.0, 0.0)])
def test_one_confidence_leaves_its_distance_to_the_accuracy(confidence: float, accuracy: float) -> None:
    probabilities = np.tile([1 - confidence, confidence], (50, 1))
    labels = (np.arange(50) < round(50 * accuracy)).astype(int)
    calibration = measure_calibration(probabilities, labels)
    assert calibration.everywhere.expected_calibration_error == pytest.approx(abs(confidence - accuracy))
    (only,) = calibration.structures.bins
    assert only == {"voxels": 50, "confidence": pytest.approx(confidence), "accuracy": accuracy}


def test_errors_are_those_of_monai() -> None:
    probabilities = dirichlet(5000)
    labels = np.random.default_rng(2).integers(0, 4, 5000)
    received = measure_calibration(probabilities, labels)
    confidence, found = torch.from_numpy(probabilities).max(-1)
    for mask, reliability in ((found >= 0, received.everywhere), (found > 0, received.structures)):
        correct = (found == torch.from_numpy(labels)).float()
        means, shares, counts = calibration_binning(
            confidence[mask][None, None], correct[mask][None, None], 15
        )
        expected = ((means - shares).abs() * counts).nansum() / counts.sum()
        assert reliability.expected_calibration_error == pytest.approx(float(expected), rel=1e-4)
        assert [each["voxels"] for each in reliability.bins] == counts[counts > 0].tolist()


def test_pooled_cases_are_one_large_case() -> None:
    probabilities, labels = dirichlet(3000), np.random.default_rng(2).integers(0, 4, 3000)
    whole = measure_calibration(probabilities.reshape(10, 30, 10, 4), labels.reshape(10, 30, 10))
    pieces = [measure_calibration(probabilities[s], labels[s]) for s in (slice(100), slice(100, None))]
    pooled = sum(pieces, Calibration())
    for received, expected in ((pooled.everywhere, whole.everywhere), (pooled.structures, whole.structures)):
        np.testing.assert_allclose(received.counts, expected.counts)
        np.testing.assert_allclose(received.confidence, expected.confidence)
        np.testing.assert_allclose(received.correct, expected.correct)


def test_the_mean_of_the_errors_is_not_the_error_of_the_pool() -> None:
    sure = np.tile([0.2, 0.8], (10, 1))
    always, never = (measure_calibration(sure, np.full(10, each)) for each in (1, 0))
    assert (always + never).everywhere.expected_calibration_error == pytest.approx(0.3)
    assert always.everywhere.expected_calibration_error == pytest.approx(0.2)
    assert never.everywhere.expected_calibration_error == pytest.approx(0.8)


def test_millions_of_voxels_lose_nothing() -> None:
    """Sums in float32 would round 0.9 up to 1 here."""
    probabilities = np.tile(np.float32([0.9, 0.1]), (3_000_000, 1))
    labels = (np.arange(3_000_000) % 10 == 0).astype(np.uint8)
    error = measure_calibration(probabilities, labels).everywhere.expected_calibration_error
    assert error == pytest.approx(0, abs=1e-6)


def test_nothing_has_no_error() -> None:
    assert Reliability().expected_calibration_error is None
    background = measure_calibration(np.array([[0.75, 0.25]]), np.array([0]))
    text = "expected calibration error: 0.2500 everywhere, - where a structure is seen"
    assert str(background) == text
    assert json.loads(json.dumps(background.errors)) == {
        "expected_calibration_error": 0.25,
        "structures_expected_calibration_error": None,
    }
    only = {"voxels": 1, "confidence": 0.75, "accuracy": 1.0}
    assert json.loads(json.dumps(background.bins)) == {"everywhere": [only], "structures": []}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2), int), r"^calibration: expected labels of the voxels \(3,\), received \(2, 2\)$"),
        (np.array([0, 1, 2]), r"^calibration: expected labels 0\.\.1, received 0\.\.2$"),
        (np.array([0, 1, -1]), r"^calibration: expected labels 0\.\.1, received -1\.\.1$"),
    ],
)
def test_labels_that_do_not_belong_are_refused(labels: NDArray[np.int64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_calibration(np.full((3, 2), 0.5), labels)
