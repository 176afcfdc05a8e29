"""Folders in, table and summary out: matching, values, and every way a case can fail alone."""

import json
import logging
from collections.abc import Iterable
from math import inf
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.evaluate import BRAIN_CLASSES, bundle_classes, evaluate, summary_path
from kseg.pipelines.metrics_lesions import LesionCounts, LesionRule
from kseg.pipelines.metrics_table import read_metrics
from kseg.transforms import phantom
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import write_nifti

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])


def head(shift: int = 0) -> NDArray[np.uint8]:
    """Three boxes, one per class, moved along the slices."""
    labels = np.zeros((12, 8, 10), np.uint8)
    for class_id in (1, 2, 3):
        labels[3 * class_id - 2 : 3 * class_id, 2:6, 3 + shift : 5 + shift] = class_id
    return labels


def save(folder: Path, name: str, labels: NDArray[np.uint8], affine: NDArray[np.float64] = AFFINE) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, labels, affine)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    for name in ("predictions", "references"):
        (tmp_path / name).mkdir()
    return tmp_path / "predictions", tmp_path / "references", tmp_path / "out" / "metrics.csv"


def test_values_of_shifted_boxes(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    save(predictions, "site/a_seg.nii.gz", head(shift=1))
    save(references, "site/a.nii.gz", head())
    evaluation = evaluate(predictions, references, output)
    assert evaluation.exit_code == 0
    assert [(row.case, row.class_id, row.class_name) for row in evaluation.rows] == [
        ("site/a", 1, "CSF"),
        ("site/a", 2, "GM"),
        ("site/a", 3, "WM"),
    ]
    for row in evaluation.rows:
        assert (row.metrics.dice, row.metrics.hausdorff_mm) == (0.5, 3.0)
        assert row.metrics.reference_ml == pytest.approx(2 * 4 * 2 * 6 / 1000)
    assert read_metrics(output) == list(evaluation.rows)
    summary = json.loads(summary_path(output).read_text())
    assert summary["n_cases"] == 1
    assert summary["average"] == {
        "sample_dice": 0.5,
        "voxel_dice": 0.5,
        "sample_iou": pytest.approx(1 / 3),
        "voxel_iou": pytest.approx(1 / 3),
        "hausdorff_mm": 3.0,
        "hausdorff95_mm": 3.0,
    }
    assert summary["failures"] == []


def test_the_same_name_in_two_folders_is_two_cases(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    for site, shift in (("north", 0), ("south", 1)):
        save(predictions, f"{site}/a_seg.nii.gz", head(shift))
        save(references, f"{site}/a.nii.gz", head())
    evaluation = evaluate(predictions, references, output)
    assert {row.case: row.metrics.dice for row in evaluation.rows} == {"north/a": 1.0, "south/a": 0.5}


def test_missed_and_absent_structures_are_counted(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    reference, prediction = head(), head()
    prediction[prediction == 3] = 0
    prediction[prediction == 1] = reference[reference == 1] = 0
    save(predictions, "a.nii.gz", prediction)
    save(references, "a.nii.gz", reference)
    evaluation = evaluate(predictions, references, output)
    csf, gm, wm = evaluation.classes
    assert (csf.n_absent, csf.n_scored, csf.sample_dice) == (1, 0, None)
    assert (gm.sample_dice, gm.hausdorff_mm) == (1.0, 0.0)
    assert (wm.n_missed, wm.n_scored, wm.sample_dice, wm.hausdorff_mm) == (1, 1, 0.0, None)
    assert evaluation.rows[2].metrics.hausdorff_mm == inf
    summary = json.loads(summary_path(output).read_text())
    assert summary["classes"][2]["n_missed"] == 1
    # CSF is in neither and does not enter; WM is missed and enters with Dice 0, without a distance.
    assert summary["average"]["sample_dice"] == 0.5
    assert summary["average"]["hausdorff_mm"] == 0.0


def test_a_case_that_fails_does_not_stop_the_others(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    moved, sheared = AFFINE.copy(), AFFINE.copy()
    moved[0, 3], sheared[0, 1] = 7.5, 1.0
    for case in ("damaged", "good", "moved", "no_prediction", "sheared", "short", "twice"):
        save(references, f"{case}.nii.gz", head(), sheared if case == "sheared" else AFFINE)
        save(
            predictions, f"{case}_seg.nii.gz", head(), {"moved": moved, "sheared": sheared}.get(case, AFFINE)
        )
    (predictions / "no_prediction_seg.nii.gz").unlink()
    save(predictions, "twice_seg.nii", head())
    save(predictions, "short_seg.nii.gz", head()[:, :, :9])
    damaged = predictions / "damaged_seg.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    evaluation = evaluate(predictions, references, output)
    assert evaluation.exit_code == 1
    assert {row.case for row in evaluation.rows} == {"good"}
    reasons = {failure.case: failure.reason for failure in evaluation.failures}
    assert list(reasons) == ["damaged", "moved", "no_prediction", "sheared", "short", "twice"]
    assert reasons["damaged"].startswith(f"{damaged}: read NIfTI: expected an intact NIfTI file, received ")
    assert reasons["moved"].endswith(
        "evaluate: expected the same affine to 0.001, received a difference of 7.5"
    )
    assert reasons["no_prediction"] == (
        f"{predictions / 'no_prediction'}: evaluate: expected one NIfTI file of this case, received none"
    )
    assert "expected voxel axes at right angles" in reasons["sheared"]
    assert "expected grid (x, y, slice) (12, 8, 10), received (12, 8, 9)" in reasons["short"]
    assert (
        "expected one NIfTI file of this case, received twice_seg.nii, twice_seg.nii.gz" in reasons["twice"]
    )
    assert json.loads(summary_path(output).read_text())["failures"] == [
        {"case": case, "reason": reason} for case, reason in reasons.items()
    ]


def test_what_is_left_out_is_reported(
    folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    predictions, references, output = folders
    labels = head()
    labels[0, 0, 0] = 77
    save(predictions, "a_seg.nii.gz", head())
    save(predictions, "extra_seg.nii.gz", head())
    save(references, "a.nii.gz", labels)
    with caplog.at_level(logging.WARNING):
        evaluation = evaluate(predictions, references, output)
    assert evaluation.exit_code == 0
    assert evaluation.predictions_without_reference == ("extra",)
    assert evaluation.ignored_labels == (77,)
    assert caplog.messages == [
        "extra: prediction without a reference, left out",
        "labels that are no class, left out: 77",
    ]


def probabilities_of(labels: NDArray[np.uint8], confidence: float) -> NDArray[np.float32]:
    """As sure of every label, the rest in equal parts."""
    rest = (1 - confidence) / 3
    return np.where(np.arange(4) == labels[..., None], confidence, rest).astype(np.float32)


def test_probabilities_beside_a_segmentation_are_checked(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    for case, confidence in (("a", 0.85), ("site/b", 0.55)):
        save(predictions, f"{case}_seg.nii.gz", head(shift=1))
        save(predictions, f"{case}_prob.nii.gz", probabilities_of(head(shift=1), confidence))
        save(references, f"{case}.nii.gz", head())
    save(predictions, "without_seg.nii.gz", head())
    save(references, "without.nii.gz", head())
    evaluation = evaluate(predictions, references, output)
    assert evaluation.exit_code == 0
    assert list(evaluation.calibrations) == ["a", "site/b"]
    # Each box has 2 x 4 x 2 voxels; half of it is right, and as much of the background is wrong.
    n_voxels, n_wrong = head().size, 2 * 3 * 2 * 4
    accuracy = 1 - n_wrong / n_voxels
    written = json.loads(summary_path(output).read_text())["calibration"]
    assert written["cases"]["a"] == {
        "expected_calibration_error": pytest.approx(abs(0.85 - accuracy)),
        "structures_expected_calibration_error": pytest.approx(0.35),
    }
    assert written["expected_calibration_error"] == pytest.approx(
        (abs(0.85 - accuracy) + abs(0.55 - accuracy)) / 2
    )
    assert written["structures_expected_calibration_error"] == pytest.approx((0.35 + 0.05) / 2)
    assert [each["voxels"] for each in written["bins"]["structures"]] == [48, 48]
    assert str(evaluation.calibration).startswith("expected calibration error: 0.")


def test_without_probabilities_nothing_is_said_of_them(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    save(predictions, "a_seg.nii.gz", head())
    save(references, "a.nii.gz", head())
    assert evaluate(predictions, references, output).calibration is None
    assert json.loads(summary_path(output).read_text())["calibration"] is None


def test_labels_without_a_probability_are_left_out_of_the_calibration(
    folders: tuple[Path, Path, Path],
) -> None:
    predictions, references, output = folders
    labels = head()
    labels[0] = 77
    save(predictions, "a_seg.nii.gz", head())
    save(predictions, "a_prob.nii.gz", probabilities_of(head(), 1.0))
    save(references, "a.nii.gz", labels)
    calibration = evaluate(predictions, references, output).calibration
    assert calibration is not None
    assert calibration.everywhere.counts.sum() == labels[1:].size
    assert calibration.everywhere.expected_calibration_error == 0


def test_probabilities_that_cannot_be_used_are_a_failure_of_their_case(
    folders: tuple[Path, Path, Path],
) -> None:
    predictions, references, output = folders
    for case in ("a", "b"):
        save(predictions, f"{case}_seg.nii.gz", head())
        save(references, f"{case}.nii.gz", head())
    save(predictions, "a_prob.nii.gz", 2 * probabilities_of(head(), 0.5))
    evaluation = evaluate(predictions, references, output)
    assert evaluation.exit_code == 1
    assert {row.case for row in evaluation.rows} == {"b"}
    (failure,) = evaluation.failures
    assert failure.reason == (
        f"{predictions / 'a_prob.nii.gz'}: read probabilities: "
        "expected probabilities that add up to 1, received a sum of 2"
    )


def test_failures_are_logged_one_line_each(
    folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    predictions, references, output = folders
    save(references, "a.nii.gz", head())
    evaluate(predictions, references, output)
    assert caplog.messages == [
        f"a: {predictions / 'a'}: evaluate: expected one NIfTI file of this case, received none"
    ]


def test_without_a_pair_nothing_is_written(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    save(predictions, "a_seg.nii.gz", head())
    save(references, "b.nii.gz", head())
    evaluation = evaluate(predictions, references, output)
    assert evaluation.exit_code == 3
    assert [failure.case for failure in evaluation.failures] == ["b"]
    assert evaluation.predictions_without_reference == ("a",)
    assert not output.parent.exists()


def test_classes_are_an_argument(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    save(predictions, "a_seg.nii.gz", head())
    save(references, "a.nii.gz", head(shift=1))
    evaluation = evaluate(predictions, references, output, classes={3: "myocardium", 1: "left ventricle"})
    assert [row.class_name for row in evaluation.rows] == ["left ventricle", "myocardium"]
    assert evaluation.ignored_labels == (2,)


def test_lesions_are_counted_where_it_is_asked_for(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    for case, found in (("a", head(shift=1)), ("without", head())):
        save(predictions, f"{case}_seg.nii.gz", found)
        save(references, f"{case}.nii.gz", head() if case == "a" else np.zeros_like(head()))
    evaluation = evaluate(predictions, references, output, lesions=LesionRule(("GM",), 10.0))
    assert [row.lesions for row in evaluation.rows] == [
        *(None, LesionCounts(1, 1, 0), None),
        *(None, LesionCounts(0, 0, 1), None),
    ]
    assert read_metrics(output) == list(evaluation.rows)
    summary = json.loads(summary_path(output).read_text())
    assert summary["smallest_lesion_mm3"] == 10.0
    assert [each["lesions"] is None for each in summary["classes"]] == [True, False, True]
    assert summary["classes"][1]["lesions"] == {
        "true_positive_rate": 1.0,
        "pooled_true_positive_rate": 1.0,
        "false_positives_per_case": 0.5,
        "n_cases": 2,
        "n_without": 1,
        "n_reference": 1,
        "n_detected": 1,
        "n_false_positives": 1,
    }


def test_lesions_of_no_class_are_refused(folders: tuple[Path, Path, Path]) -> None:
    with pytest.raises(ValueError, match="lesions: expected classes of CSF, GM, WM, received lesion"):
        evaluate(*folders, lesions=LesionRule(("lesion",)))


def test_the_classes_of_the_brain_are_those_of_its_bundle() -> None:
    assert bundle_classes("brain_kspace_segmentation") == BRAIN_CLASSES
    assert set(BRAIN_CLASSES) == set(phantom.BRAIN_CLASSES.values())


def test_derivatives_of_bids_are_compared_with_references_of_another_desc(
    folders: tuple[Path, Path, Path],
) -> None:
    predictions, references, output = folders
    for subject, shift in ((1, 0), (2, 1), (3, 0)):
        folder = f"sub-{subject}/anat/sub-{subject}"
        save(predictions, f"{folder}_desc-T2w_dseg.nii.gz", head(shift))
        save(predictions, f"{folder}_desc-T2w_probseg.nii.gz", probabilities_of(head(shift), 0.9))
        save(predictions, f"{folder}_desc-T2wreconstruction_T2w.nii.gz", head())
        save(references, f"{folder}_desc-manual_dseg.nii.gz", head())
    save(references, "sub-3/anat/sub-3_desc-other_dseg.nii.gz", head())
    save(references, "sub-4/anat/sub-4_dseg.nii.gz", head())
    evaluation = evaluate(predictions, references, output)
    cases = [f"sub-{subject}/anat/sub-{subject}_desc-T2w" for subject in (1, 2)]
    assert {row.case: row.metrics.dice for row in evaluation.rows} == dict(
        zip(cases, (1.0, 0.5), strict=True)
    )
    assert list(evaluation.calibrations) == cases
    reasons = {failure.case: failure.reason for failure in evaluation.failures}
    assert list(reasons) == ["sub-3/anat/sub-3_desc-T2w", "sub-4/anat/sub-4"]
    assert (
        "received sub-3_desc-manual_dseg.nii.gz, sub-3_desc-other_dseg.nii.gz"
        in reasons["sub-3/anat/sub-3_desc-T2w"]
    )
    assert reasons["sub-4/anat/sub-4"].endswith("expected one NIfTI file of this case, received none")
    assert evaluation.predictions_without_reference == ()


def test_references_may_be_segmentations_of_kseg(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    save(predictions, "a_seg.nii.gz", head())
    save(references, "a_seg.nii.gz", head())
    save(references, "a_recon.nii.gz", head(shift=1))
    assert evaluate(predictions, references, output).exit_code == 0


def test_progress_sees_every_reference(folders: tuple[Path, Path, Path]) -> None:
    predictions, references, output = folders
    for case in ("a", "b"):
        save(predictions, f"{case}_seg.nii.gz", head())
        save(references, f"{case}.nii.gz", head())
    seen: list[str] = []

    def progress(cases: list[str]) -> Iterable[str]:
        for case in cases:
            yield case
            seen.append(case)

    evaluate(predictions, references, output, progress=progress)
    assert seen == ["a", "b"]


@pytest.mark.parametrize("classes", [{}, {0: "air", 1: "CSF"}, {1: "CSF", 2: "CSF"}])
def test_classes_that_cannot_be_told_apart_are_refused(
    folders: tuple[Path, Path, Path], classes: dict[int, str]
) -> None:
    with pytest.raises(
        ValueError, match=r"classes: expected labels from 1 with different names, received \{"
    ):
        evaluate(*folders, classes=classes)


def test_a_missing_folder_is_an_error(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, references, output = folders
    with pytest.raises(InputError, match="nowhere: find NIfTI files: expected a folder, received nothing"):
        evaluate(tmp_path / "nowhere", references, output)
