"""The box plots: every finite case is a point, every infinite one is counted in words."""

from math import inf
from xml.etree import ElementTree

import pytest

from kseg.pipelines.charts import box_plots
from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow

FOUND = StructureMetrics(0.75, 4.0, 2.0, 3.0, 1.0)
MISSED = StructureMetrics(0.0, inf, inf, 0.0, 2.0)
SPURIOUS = StructureMetrics(0.0, inf, inf, 0.5, 0.0)
ABSENT = StructureMetrics(None, None, None, 0.0, 0.0)


def rows(*metrics: StructureMetrics, name: str = "GM") -> list[MetricsRow]:
    return [MetricsRow(f"case {number}", 2, name, item) for number, item in enumerate(metrics)]


def texts(svg: bytes) -> list[str]:
    return [
        element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]


def n_points(svg: bytes) -> int:
    """Points of the scatter plots: uses of a marker inside a path collection."""
    groups = [
        group
        for group in ElementTree.fromstring(svg).iter()
        if group.get("id", "").startswith("PathCollection")
    ]
    return sum(element.tag.endswith("use") for group in groups for element in group.iter())


def test_every_finite_value_is_one_point() -> None:
    svg = box_plots(rows(FOUND, FOUND, MISSED, SPURIOUS, ABSENT))
    # Four cases have a Dice, two of them both distances.
    assert n_points(svg) == 4 + 2 + 2


def test_what_cannot_be_drawn_is_counted_under_its_class() -> None:
    words = texts(box_plots(rows(FOUND, MISSED, MISSED, SPURIOUS, ABSENT)))
    assert words.count("2 missed") == 2
    assert words.count("1 spurious") == 2
    assert words.count("GM") == 3


def test_panels_are_titled_with_their_unit() -> None:
    words = texts(box_plots(rows(FOUND)))
    assert {"Dice", "Hausdorff distance, 95th percentile (mm)", "Hausdorff distance, maximum (mm)"} <= set(
        words
    )


@pytest.mark.parametrize("metrics", [StructureMetrics(1.0, 0.0, 0.0, 1.0, 1.0), FOUND])
def test_no_axis_shows_values_that_cannot_be(metrics: StructureMetrics) -> None:
    words = texts(box_plots(rows(metrics)))
    title = words.index("Dice")
    dice, distances = (
        [float(word) for word in part if word[-1:].isdigit()] for part in (words[:title], words[title:])
    )
    # A minus sign would stop float: the charts write U+2212.
    assert 0.5 < min(dice) < max(dice) == 1.0
    assert min(distances) == 0.0


def test_a_class_without_a_value_keeps_its_place() -> None:
    svg = box_plots([*rows(ABSENT), MetricsRow("a", 3, "WM", FOUND)])
    assert n_points(svg) == 3
    assert texts(svg).count("GM") == 3


@pytest.mark.parametrize("name", ["a$b$", "x < y & z", r"$\frac$"])
def test_class_names_are_shown_as_they_are(name: str) -> None:
    assert texts(box_plots(rows(FOUND, name=name))).count(name) == 3


def test_the_same_rows_give_the_same_bytes() -> None:
    assert box_plots(rows(FOUND, MISSED)) == box_plots(rows(FOUND, MISSED))
