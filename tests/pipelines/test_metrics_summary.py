"""Every mean says what it is over, and what has no value enters none."""

from math import inf

import pytest

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.pipelines.metrics_summary import average, mean, summarise
from kseg.pipelines.metrics_table import MetricsRow

FOUND = StructureMetrics(0.75, 4.0, 2.0, 3.0, 1.0)
MISSED = StructureMetrics(0.0, inf, inf, 0.0, 2.0)
SPURIOUS = StructureMetrics(0.0, inf, inf, 0.5, 0.0)
ABSENT = StructureMetrics(None, None, None, 0.0, 0.0)


def rows(*metrics: StructureMetrics) -> list[MetricsRow]:
    return [MetricsRow(f"site/case {number}", 2, "GM", item) for number, item in enumerate(metrics)]


def test_the_mean_counts_a_missed_structure_as_zero_and_leaves_an_absent_one_out() -> None:
    summary = summarise(rows(FOUND, MISSED, SPURIOUS, ABSENT))[0]
    assert summary.sample_dice == pytest.approx(0.75 / 3)
    assert (summary.n_scored, summary.n_measured) == (3, 1)
    assert (summary.n_missed, summary.n_spurious, summary.n_absent) == (1, 1, 1)
    assert (summary.hausdorff_mm, summary.hausdorff95_mm) == (4.0, 2.0)
    # Overlap 0.75 * (3 + 1) / 2 = 1.5 ml of 3.5 ml predicted and 3 ml in the references.
    assert summary.voxel_dice == pytest.approx(2 * 1.5 / (3.5 + 3.0))
    assert summary.voxel_iou == pytest.approx(1.5 / (3.5 + 3.0 - 1.5))
    assert summary.sample_iou == pytest.approx(0.6 / 3)
    assert summary.lesions is None


def test_the_voxel_average_weighs_by_size_and_the_sample_average_does_not() -> None:
    small, large = StructureMetrics(0.0, 9.0, 9.0, 1.0, 1.0), StructureMetrics(1.0, 0.0, 0.0, 9.0, 9.0)
    summary = summarise(rows(small, large))[0]
    assert [summary.sample_dice, summary.voxel_dice] == pytest.approx([0.5, 0.9])
    assert [summary.sample_iou, summary.voxel_iou] == pytest.approx([0.5, 9 / 11])


def test_the_mean_iou_is_not_the_iou_of_the_mean_dice() -> None:
    half, whole = StructureMetrics(0.5, 2.0, 2.0, 1.0, 1.0), StructureMetrics(1.0, 0.0, 0.0, 1.0, 1.0)
    summary = summarise(rows(half, whole))[0]
    assert summary.sample_iou == pytest.approx((1 / 3 + 1) / 2)
    assert summary.sample_dice is not None
    assert summary.sample_iou != pytest.approx(summary.sample_dice / (2 - summary.sample_dice))


def test_a_class_that_is_nowhere_has_no_mean() -> None:
    summary = summarise(rows(ABSENT, ABSENT))[0]
    assert (summary.sample_dice, summary.voxel_dice, summary.hausdorff_mm) == (None, None, None)
    assert (summary.sample_iou, summary.voxel_iou) == (None, None)
    assert (summary.n_scored, summary.n_absent) == (0, 2)
    assert mean([None, inf]) is None


def test_classes_come_in_the_order_of_their_labels() -> None:
    table = [MetricsRow("a", number, str(number), FOUND) for number in (10, 2, 1)]
    assert [item.class_id for item in summarise(table)] == [1, 2, 10]


def test_the_average_is_that_of_the_classes() -> None:
    table = [*rows(FOUND), MetricsRow("a", 1, "CSF", MISSED), MetricsRow("a", 3, "WM", ABSENT)]
    means = average(summarise(table))
    assert means["sample_dice"] == pytest.approx(0.375)
    assert means["sample_iou"] == pytest.approx(0.3)
    assert means["hausdorff_mm"] == 4.0


def lesions(*counts: LesionCounts) -> list[MetricsRow]:
    return [MetricsRow(f"case {number}", 1, "lesion", FOUND, item) for number, item in enumerate(counts)]


def test_a_case_without_lesions_has_false_positives_and_no_rate() -> None:
    summary = summarise(lesions(LesionCounts(2, 1, 0), LesionCounts(8, 8, 1), LesionCounts(0, 0, 5)))[
        0
    ].lesions
    assert summary is not None
    assert summary.true_positive_rate == pytest.approx((0.5 + 1) / 2)
    assert summary.pooled_true_positive_rate == pytest.approx(9 / 10)
    assert summary.false_positives_per_case == pytest.approx(6 / 3)
    assert (summary.n_cases, summary.n_without) == (3, 1)
    assert (summary.n_reference, summary.n_detected, summary.n_false_positives) == (10, 9, 6)


def test_without_any_lesion_there_is_no_rate() -> None:
    summary = summarise(lesions(LesionCounts(0, 0, 1), LesionCounts(0, 0, 0)))[0].lesions
    assert summary is not None
    assert (summary.true_positive_rate, summary.pooled_true_positive_rate) == (None, None)
    assert (summary.false_positives_per_case, summary.n_without) == (0.5, 2)
