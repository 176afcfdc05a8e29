"""The words of the page, apart from its pictures."""

from dataclasses import replace
from math import inf

import pytest

from kseg.pipelines.case_pictures import CasePictures
from kseg.pipelines.evaluate import Failure
from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_lesions import LesionCounts
from kseg.pipelines.metrics_summary import summarise
from kseg.pipelines.metrics_table import MetricsRow
from kseg.pipelines.report_page import Drawing, Page, cell, fixed, render_page, volume

FOUND = StructureMetrics(0.75, 4.0, 2.0, 3.0, 1.0)
MISSED = StructureMetrics(0.0, inf, inf, 0.0, 2.0)
SPURIOUS = StructureMetrics(0.0, inf, inf, 0.5, 0.0)
ABSENT = StructureMetrics(None, None, None, 0.0, 0.0)


def page(*metrics: StructureMetrics, drawings: tuple[Drawing, ...] = (), case: str = "case") -> Page:
    table = {f"{case} {n}": [MetricsRow(f"{case} {n}", 2, "GM", item)] for n, item in enumerate(metrics)}
    return Page(
        folder="out",
        classes=summarise(row for rows in table.values() for row in rows),
        table=table,
        drawings=drawings,
        plots=b"<svg/>",
        failures=[],
        notes=[],
    )


@pytest.mark.parametrize(
    ("metrics", "dice", "distance"),
    [
        (FOUND, "0.750", "4.0"),
        (MISSED, "0.000", "missed"),
        (SPURIOUS, "0.000", "spurious"),
        (ABSENT, "n/a", "n/a"),
        (None, "n/a", "n/a"),
    ],
)
def test_a_cell_says_why_there_is_no_number(
    metrics: StructureMetrics | None, dice: str, distance: str
) -> None:
    assert (cell(metrics, "dice"), cell(metrics, "hausdorff_mm")) == (dice, distance)


def test_numbers_have_the_digits_they_need() -> None:
    assert [fixed(0.98765, 3), fixed(1234.56, 1), fixed(None, 2)] == ["0.988", "1234.6", "n/a"]
    assert [volume(1234.5), volume(45.67), volume(0.00123)] == ["1234", "45.7", "0.00123"]


def test_neither_infinity_nor_nan_is_printed() -> None:
    text = render_page(page(FOUND, MISSED, SPURIOUS, ABSENT)).replace("infinite", "")
    words = text[text.index("<body>") :].lower().replace("<", " ").replace(">", " ").split()
    assert not {"inf", "nan", "none"} & set(words)


def test_the_counts_of_the_summary_are_in_the_table() -> None:
    text = render_page(page(FOUND, MISSED, SPURIOUS, ABSENT))
    row = text[text.index('scope="row"') : text.index("Average</th>")]
    cells = [part.split("<")[0] for part in row.split("<td")[1:]]
    assert [text.partition(">")[2] for text in cells] == [
        "0.250", "0.462", "0.200", "0.300", "2.0", "4.0", "3", "1", "1", "1", "1",
    ]  # fmt: skip


def test_lesions_are_said_where_they_were_counted() -> None:
    counted = [LesionCounts(9, 6, 2), LesionCounts(0, 0, 1)]
    plain = page(FOUND, SPURIOUS)
    assert "esions" not in render_page(plain)
    rows = [row for each in plain.table.values() for row in each]
    rows = [replace(row, lesions=counts) for row, counts in zip(rows, counted, strict=True)]
    text = render_page(replace(plain, classes=summarise(rows), table={row.case: [row] for row in rows}))
    assert "6 of 9 lesions found" in text
    assert "1.5 false lesions per case" in text
    section = text[text.index("Detection of lesions") :]
    row = section[section.index('scope="row"') : section.index("</tbody>")]
    cells = [part.split("<")[0].partition(">")[2] for part in row.split("<td")[1:]]
    assert cells == ["0.667", "0.667", "1.50", "3", "6", "9", "1", "1"]
    assert "6 of 9, 2 false</td>" in text
    assert "none to find, 1 false</td>" in text
    # Not in the headline alone: who has no rate is said with the rate.
    assert "enters its means not at all" in text


def test_names_are_escaped() -> None:
    name = '<img src=x onerror="alert(1)">&'
    drawing = Drawing(f"{name} 0", CasePictures(1, 2, b"png", None))
    text = render_page(page(FOUND, case=name, drawings=(drawing,)))
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp; 0" in text


def test_what_was_left_out_is_said() -> None:
    failures = [Failure("b", "b.nii: evaluate: expected x, received y")]
    left_out = replace(page(FOUND), failures=failures, notes=["c has no reference."])
    text = render_page(left_out)
    assert "1 could not be evaluated." in text
    assert "b could not be evaluated." in text
    assert "b.nii: evaluate: expected x, received y" in text
    assert "c has no reference." in text
    assert "Left out" not in render_page(page(FOUND))


def test_a_picture_that_could_not_be_drawn_is_replaced_by_the_reason() -> None:
    text = render_page(page(FOUND, drawings=(Drawing("case 0", problem="expected x, received y"),)))
    assert "No picture. expected x, received y" in text
