"""The table of a study and its answer: means over heads, what is missing, the cheapest scan."""

import csv
from math import inf
from pathlib import Path

import pytest

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow
from kseg.pipelines.study_table import (
    PointResult,
    Spread,
    StudyPoint,
    cheapest,
    study_text,
    write_study,
)

MISSED = StructureMetrics(0.0, inf, inf, 0.0, 2.0)


def metrics(dice: float, distance_mm: float = 1.0) -> StructureMetrics:
    return StructureMetrics(dice, distance_mm + 6, distance_mm, 2.0, 2.0)


def result(noise: float, fraction: float, **heads: list[StructureMetrics]) -> PointResult:
    """A point at which each head has the metrics of CSF and GM."""
    rows = tuple(
        MetricsRow(head, class_id, name, values)
        for head, both in heads.items()
        for (class_id, name), values in zip({1: "CSF", 2: "GM"}.items(), both, strict=True)
    )
    return PointResult(StudyPoint(noise, fraction), rows)


FEW = result(0.1, 0.2, a=[metrics(0.7), metrics(0.9, 2.0)], b=[metrics(0.5), metrics(0.7, 4.0)])
MANY = result(0.1, 0.5, a=[metrics(0.875), metrics(0.875)], b=[metrics(0.75), metrics(1.0)])
LACKING = PointResult(StudyPoint(0.1, 0.3), (), ("b",))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_head_counts_the_same() -> None:
    assert FEW.spread("dice") == Spread(pytest.approx(0.7), pytest.approx(0.6), pytest.approx(0.8))
    assert FEW.spread("hausdorff95_mm") == Spread(2.0, 1.5, 2.5)
    assert FEW.spread("hausdorff_mm") == Spread(8.0, 7.5, 8.5)
    assert (FEW.n_heads, FEW.n_unmeasured) == (2, 0)


def test_a_missed_structure_has_dice_0_and_is_counted_where_it_has_no_distance() -> None:
    point = result(0.1, 0.2, a=[MISSED, metrics(0.8, 3.0)], b=[metrics(0.6), metrics(0.6)])
    assert point.spread("dice") == Spread(pytest.approx(0.5), pytest.approx(0.4), pytest.approx(0.6))
    assert point.spread("hausdorff95_mm") == Spread(2.0, 1.0, 3.0)
    assert point.n_unmeasured == 1
    nothing = result(0.1, 0.2, a=[MISSED, MISSED])
    assert nothing.spread("hausdorff95_mm") is None


def test_the_cheapest_reaches_the_target_exactly() -> None:
    dear = result(0.1, 1.0, a=[metrics(0.95), metrics(0.95)])
    noisy = result(0.2, 1.0, a=[metrics(0.8), metrics(0.8)])
    # The order of the results does not matter, and a point that lacks heads is no answer.
    assert cheapest([noisy, dear, MANY, LACKING, FEW], 0.875) == {0.1: MANY, 0.2: None}
    assert cheapest([noisy, dear, MANY, LACKING, FEW], 0.88) == {0.1: dear, 0.2: None}
    assert cheapest([LACKING], 0.0) == {0.1: None}


def test_the_answer_in_words() -> None:
    noisy = [result(0.2, share, a=[metrics(share), metrics(0.8)]) for share in (0.3, 0.5, 0.4)]
    assert study_text([FEW, LACKING, MANY, *noisy], 0.85).splitlines() == [
        "cheapest scan with a mean Dice of at least 0.85:",
        "  10% noise: 50% of k-space (Dice 0.875, lowest head 0.875, HD95 1.00 mm)",
        "  20% noise: none; best is 50% (Dice 0.650, HD95 1.00 mm)",
        "failed: 10% noise, 30% of k-space: b",
    ]
    assert study_text([LACKING], 0.85).splitlines()[1] == "  10% noise: none"
    missed = study_text([result(0.1, 0.2, a=[MISSED, MISSED])], 0.0).splitlines()[1]
    assert missed == "  10% noise: 20% of k-space (Dice 0.000)"


def test_the_table_has_a_row_for_each_class_and_their_average(tmp_path: Path) -> None:
    write_study(tmp_path / "study.csv", [FEW])
    csf, gm, average = table(tmp_path / "study.csv")
    assert csf == {
        "noise": "0.1",
        "fraction": "0.2",
        "class_name": "CSF",
        "n_heads": "2",
        "n_missed": "0",
        "n_spurious": "0",
        "dice": "0.6",
        "dice_lowest": "0.5",
        "dice_highest": "0.7",
        "hausdorff_mm": "7",
        "hausdorff_mm_lowest": "7",
        "hausdorff_mm_highest": "7",
        "hausdorff95_mm": "1",
        "hausdorff95_mm_lowest": "1",
        "hausdorff95_mm_highest": "1",
        "missing": "",
    }
    assert (gm["class_name"], gm["dice"], gm["hausdorff95_mm"]) == ("GM", "0.8", "3")
    assert (average["class_name"], average["dice"], average["hausdorff95_mm"]) == ("average", "0.7", "2")
    assert (average["dice_lowest"], average["hausdorff95_mm_highest"]) == ("0.6", "2.5")
    largest = [average[f"hausdorff_mm{spread}"] for spread in ("", "_lowest", "_highest")]
    assert largest == ["8", "7.5", "8.5"]


def test_the_table_counts_what_was_missed(tmp_path: Path) -> None:
    spurious = StructureMetrics(0.0, inf, inf, 2.0, 0.0)
    point = result(0.1, 0.2, a=[MISSED, metrics(0.8)], b=[spurious, metrics(0.6)])
    write_study(tmp_path / "study.csv", [point])
    csf, gm, average = table(tmp_path / "study.csv")
    assert (csf["n_missed"], csf["n_spurious"], csf["dice"], csf["hausdorff95_mm"]) == ("1", "1", "0", "")
    assert (csf["hausdorff_mm"], gm["hausdorff_mm"], average["hausdorff_mm"]) == ("", "7", "7")
    assert (gm["n_missed"], gm["n_spurious"]) == ("0", "0")
    assert (average["n_missed"], average["n_spurious"], average["hausdorff95_mm"]) == ("1", "1", "1")


def test_a_point_that_lacks_heads_has_no_number(tmp_path: Path) -> None:
    write_study(tmp_path / "study.csv", [PointResult(StudyPoint(0.1, 0.3), (), ("b", "site/c"))])
    (row,) = table(tmp_path / "study.csv")
    assert (row["class_name"], row["n_heads"], row["missing"]) == ("average", "0", "b; site/c")
    assert not any(row[name] for name in row if name.startswith(("dice", "hausdorff")))
