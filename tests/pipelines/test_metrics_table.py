"""The table on disk round-trips, those of earlier versions are read, damaged ones are refused by name."""

from math import inf
from pathlib import Path

import pytest

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.pipelines.metrics_table import MetricsRow, read_metrics, write_metrics
from kseg.transforms.errors import InputError

FIRST = "case,class_id,class_name,dice,hausdorff_mm,hausdorff95_mm,predicted_ml,reference_ml"
HEADER = "case,class_id,class_name,dice,iou,hausdorff_mm,hausdorff95_mm,predicted_ml,reference_ml"
WITH_LESIONS = f"{HEADER},lesion_tpr,reference_lesions,detected_lesions,false_positive_lesions"
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
        "site/case 0,2,GM,0.75,0.6,4,2,3,1",
        "site/case 1,2,GM,0,0,inf,inf,0,2",
        "site/case 2,2,GM,0,0,inf,inf,0.5,0",
        "site/case 3,2,GM,,,,,0,0",
    ]


def test_lesions_have_columns_where_a_class_has_them(tmp_path: Path) -> None:
    found, nothing_to_find = LesionCounts(9, 6, 2), LesionCounts(0, 0, 1)
    table = [
        MetricsRow("a", 1, "lesion", FOUND, found),
        MetricsRow("a", 2, "GM", FOUND),
        MetricsRow("b", 1, "lesion", SPURIOUS, nothing_to_find),
    ]
    write_metrics(tmp_path / "metrics.csv", table)
    assert read_metrics(tmp_path / "metrics.csv") == table
    lines = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == WITH_LESIONS
    assert [line.split(",", 9)[9] for line in lines[1:]] == ["0.666667,9,6,2", ",,,", ",0,0,1"]


def test_a_table_from_before_the_iou_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(f"{FIRST}\na,2,GM,0.75,4,2,3,1\nb,2,GM,,,,0,0\n", encoding="utf-8")
    rows_read = read_metrics(tmp_path / "metrics.csv")
    assert [row.metrics for row in rows_read] == [FOUND, ABSENT]
    assert rows_read[0].metrics.iou == pytest.approx(0.6)
    assert rows_read[0].lesions is None


def test_a_file_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    table = [MetricsRow("caf\udce9", 1, "CSF", FOUND)]
    write_metrics(tmp_path / "metrics.csv", table)
    assert read_metrics(tmp_path / "metrics.csv") == table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f"expected the columns {HEADER}, received an empty file"),
        ("case,dice\na,1\n", f"expected the columns {HEADER}, received case,dice"),
        (f"{HEADER}\na,1,CSF,good,1,1,1,1,1\n", "expected a number in dice, line 2, received 'good'"),
        (f"{HEADER}\na,1,CSF,nan,1,1,1,1,1\n", "expected a number in dice, line 2, received 'nan'"),
        (f"{HEADER}\na,1,CSF,1,1\n", "expected class_id and volumes in line 2, received an empty cell"),
        (
            f"{HEADER}\na,1,CSF,1,1,1,1,,1\n",
            "expected class_id and volumes in line 2, received an empty cell",
        ),
        (
            f"{WITH_LESIONS}\na,1,lesion,1,1,1,1,1,1,,3,,0\n",
            "expected numbers of lesions in line 2, received [3.0, None, 0.0]",
        ),
        (
            f"{WITH_LESIONS}\na,1,lesion,1,1,1,1,1,1,,3,4,0\n",
            "expected numbers of lesions in line 2, received [3.0, 4.0, 0.0]",
        ),
        (
            f"{WITH_LESIONS}\na,1,lesion,1,1,1,1,1,1,,3,2,0.5\n",
            "expected numbers of lesions in line 2, received [3.0, 2.0, 0.5]",
        ),
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
