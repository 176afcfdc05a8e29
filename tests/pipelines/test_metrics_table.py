"""The table on disk round-trips, damaged tables are refused by name, and every mean says what it is over."""

from math import inf
from pathlib import Path

import pytest

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow, mean, read_metrics, summarise, write_metrics
from kseg.transforms.errors import InputError

HEADER = "case,class_id,class_name,dice,hausdorff_mm,hausdorff95_mm,predicted_ml,reference_ml"
FOUND = StructureMetrics(0.75, 4.0, 2.0, 3.0, 1.0)
MISSED = StructureMetrics(0.0, inf, inf, 0.0, 2.0)
SPURIOUS = StructureMetrics(0.0, inf, inf, 0.5, 0.0)
ABSENT = StructureMetrics(None, None, None, 0.0, 0.0)


def rows(*metrics: StructureMetrics) -> list[MetricsRow]:
    return [MetricsRow(f"site/case {number}", 2, "GM", item) for number, item in enumerate(metrics)]


def test_the_table_round_trips(tmp_path: Path) -> None:
    table = [*rows(FOUND, MISSED, SPURIOUS, ABSENT), MetricsRow('quo"ted, näme', 1, "CSF", FOUND)]
    write_metrics(tmp_path / "metrics.csv", table)
    assert read_metrics(tmp_path / "metrics.csv") == table
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()[:5] == [
        HEADER,
        "site/case 0,2,GM,0.75,4,2,3,1",
        "site/case 1,2,GM,0,inf,inf,0,2",
        "site/case 2,2,GM,0,inf,inf,0.5,0",
        "site/case 3,2,GM,,,,0,0",
    ]


def test_a_file_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    table = [MetricsRow("caf\udce9", 1, "CSF", FOUND)]
    write_metrics(tmp_path / "metrics.csv", table)
    assert read_metrics(tmp_path / "metrics.csv") == table


def test_the_mean_counts_a_missed_structure_as_zero_and_leaves_an_absent_one_out() -> None:
    summary = summarise(rows(FOUND, MISSED, SPURIOUS, ABSENT))[0]
    assert summary.sample_dice == pytest.approx(0.75 / 3)
    assert (summary.n_scored, summary.n_measured) == (3, 1)
    assert (summary.n_missed, summary.n_spurious, summary.n_absent) == (1, 1, 1)
    assert (summary.hausdorff_mm, summary.hausdorff95_mm) == (4.0, 2.0)
    # Overlap 0.75 * (3 + 1) / 2 = 1.5 ml of 3.5 ml predicted and 3 ml in the references.
    assert summary.voxel_dice == pytest.approx(2 * 1.5 / (3.5 + 3.0))


def test_the_voxel_average_weighs_by_size_and_the_sample_average_does_not() -> None:
    small, large = StructureMetrics(0.0, 9.0, 9.0, 1.0, 1.0), StructureMetrics(1.0, 0.0, 0.0, 9.0, 9.0)
    summary = summarise(rows(small, large))[0]
    assert [summary.sample_dice, summary.voxel_dice] == pytest.approx([0.5, 0.9])


def test_a_class_that_is_nowhere_has_no_mean() -> None:
    summary = summarise(rows(ABSENT, ABSENT))[0]
    assert (summary.sample_dice, summary.voxel_dice, summary.hausdorff_mm) == (None, None, None)
    assert (summary.n_scored, summary.n_absent) == (0, 2)
    assert mean([None, inf]) is None


def test_classes_come_in_the_order_of_their_labels() -> None:
    table = [MetricsRow("a", number, str(number), FOUND) for number in (10, 2, 1)]
    assert [item.class_id for item in summarise(table)] == [1, 2, 10]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f"expected the columns {HEADER}, received an empty file"),
        ("case,dice\na,1\n", f"expected the columns {HEADER}, received case,dice"),
        (f"{HEADER}\na,1,CSF,good,1,1,1,1\n", "expected a number in dice, line 2, received 'good'"),
        (f"{HEADER}\na,1,CSF,nan,1,1,1,1\n", "expected a number in dice, line 2, received 'nan'"),
        (f"{HEADER}\na,1,CSF,1,1\n", "expected class_id and volumes in line 2, received an empty cell"),
        (f"{HEADER}\na,1,CSF,1,1,1,,1\n", "expected class_id and volumes in line 2, received an empty cell"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_metrics(path)
    assert str(error.value) == f"{path}: read metrics: {message}"


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"metrics\.csv: read metrics: expected a CSV file, received nothing$"
    ):
        read_metrics(tmp_path / "metrics.csv")
    with pytest.raises(InputError, match=r"read metrics: expected a CSV file, received a folder$"):
        read_metrics(tmp_path)
