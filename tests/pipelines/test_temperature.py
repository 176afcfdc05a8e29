"""Temperatures that are known, found again."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kseg.pipelines.calibration import measure_calibration
from kseg.pipelines.temperature import at_temperature, fit_temperature, read_calibration_cases
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import write_nifti


def scaled(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def drawn(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Calibrated probabilities and labels drawn from them."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet((2.0, 1.0, 1.0, 1.0), n)
    return probabilities, (probabilities.cumsum(-1) < generator.random((n, 1))).sum(-1)


@pytest.mark.parametrize("temperature", [0.25, 3.0])
def test_classes_keep_their_order_at_any_temperature(temperature: float) -> None:
    probabilities = torch.from_numpy(drawn(1000, 0)[0]).float()
    probabilities[0] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    received = at_temperature(probabilities, temperature, axis=1)
    np.testing.assert_allclose(received, scaled(probabilities.double().numpy(), temperature), atol=1e-6)
    assert torch.equal(received.argmax(1), probabilities.argmax(1))
    turned = at_temperature(probabilities.T, temperature, axis=0)
    torch.testing.assert_close(turned.T, received)


def test_temperature_1_changes_no_bit() -> None:
    probabilities = torch.tensor([[0.1, 0.9, 0.0]])
    assert torch.equal(at_temperature(probabilities, 1.0, axis=1), probabilities)


def test_what_was_fitted_is_what_is_applied() -> None:
    probabilities, labels = drawn(40_000, 0)
    too_sure = scaled(probabilities, 0.6).astype(np.float32)
    fitted = at_temperature(torch.from_numpy(too_sure), fit_temperature([(too_sure, labels)]), axis=1)
    assert fit_temperature([(fitted.numpy(), labels)]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    probabilities, labels = drawn(40_000, 0)
    too_sure = scaled(probabilities, 1 / temperature)
    assert fit_temperature([(too_sure, labels)]) == pytest.approx(temperature, rel=0.03)
    others, their_labels = drawn(40_000, 1)
    calibrated = scaled(scaled(others, 1 / temperature), temperature)
    assert measure_calibration(calibrated, their_labels).everywhere.expected_calibration_error < 0.01


@pytest.mark.parametrize("share", [0.6, 0.75, 0.95])
def test_two_classes_have_a_closed_form(share: float) -> None:
    probabilities = np.tile([0.9, 0.1], (200, 1))
    labels = (np.arange(200) >= round(200 * share)).astype(np.uint8)
    expected = math.log(9) / math.log(share / (1 - share))
    assert fit_temperature([(probabilities, labels)]) == pytest.approx(expected, rel=1e-3)


def test_cases_are_pooled_by_voxel() -> None:
    probabilities, labels = drawn(3000, 0)
    together = fit_temperature([(probabilities.reshape(30, 100, 4), labels.reshape(30, 100))])
    pieces = [(probabilities[s], labels[s]) for s in (slice(100), slice(100, None))]
    assert fit_temperature(pieces) == pytest.approx(together, rel=1e-3)


def test_a_probability_that_became_zero_costs_much_but_not_everything() -> None:
    probabilities, labels = drawn(1000, 0)
    probabilities[0] = np.eye(4)[(labels[0] + 1) % 4]
    assert 1 < fit_temperature([(probabilities.astype(np.float32), labels)]) < 2


@pytest.mark.parametrize(("label", "received"), [(0, "0.05"), (1, "20")])
def test_what_is_always_right_or_wrong_has_no_temperature(label: int, received: str) -> None:
    message = f"best temperature is between 0.05 and 20, received {received} or beyond$"
    with pytest.raises(ValueError, match=message):
        fit_temperature([(np.array([[0.9, 0.1]]), np.array([label]))])


def test_nothing_has_no_temperature() -> None:
    with pytest.raises(ValueError, match=r"^temperature: expected at least one case, received none$"):
        fit_temperature([])


def test_labels_of_other_voxels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected labels of the voxels \(1,\), received \(2,\)"):
        fit_temperature([(np.array([[0.9, 0.1]]), np.array([0, 0]))])


def save_cases(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two cases on disk, one of them in a folder; the first has a label that is no class."""
    probabilities, labels = drawn(2400, 0)
    for index, case in enumerate(("a", "site/b")):
        half = slice(1200 * index, 1200 * (index + 1))
        values = probabilities[half].reshape(10, 12, 10, 4).astype(np.float32)
        truth = labels[half].reshape(10, 12, 10).astype(np.uint8)
        if case == "a":
            truth[0, 0, 0] = 77
        for name, array in ((f"scans/{case}_prob", values), (f"labels/{case}", truth)):
            path = folder / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, array, np.diag([1.0, 1.0, 3.0, 1.0]))
    return probabilities[1:], labels[1:]


def test_cases_are_read_from_two_folders(tmp_path: Path) -> None:
    expected = save_cases(tmp_path)
    cases = list(read_calibration_cases(tmp_path / "scans", tmp_path / "labels"))
    assert [len(labels) for _, labels in cases] == [1199, 1200]
    np.testing.assert_allclose(np.concatenate([each for each, _ in cases]), expected[0], atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([each for _, each in cases]), expected[1])
    assert fit_temperature(cases) == pytest.approx(fit_temperature([expected]), rel=1e-3)


def test_a_case_without_probabilities_is_named(tmp_path: Path) -> None:
    save_cases(tmp_path)
    path = tmp_path / "scans" / "site" / "b_prob.nii.gz"
    path.unlink()
    message = f"^{path}: fit temperature: expected probabilities of the case, received nothing$"
    with pytest.raises(InputError, match=message):
        list(read_calibration_cases(tmp_path / "scans", tmp_path / "labels"))
