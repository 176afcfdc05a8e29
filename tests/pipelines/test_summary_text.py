"""The table that a person reads in a terminal."""

from kseg.pipelines.metrics_table import ClassSummary
from kseg.pipelines.summary_text import summary_text


def test_columns_line_up_and_gaps_are_dashes() -> None:
    lesion = ClassSummary(2, "white matter lesion", 0.5, 0.25, 1234.567, 12.345, 1200000, 3, 17, 0, 0)
    nothing = ClassSummary(1, "CSF", None, None, None, None, 0, 0, 0, 0, 5)
    assert summary_text([nothing, lesion]).splitlines() == [
        "class                 Dice  pooled    HD mm  HD95 mm    cases  missed",
        "CSF                      -       -        -        -        0       0",
        "white matter lesion  0.500   0.250  1234.57    12.35  1200000      17",
        "average              0.500   0.250  1234.57    12.35",
    ]


def test_the_average_is_that_of_the_classes() -> None:
    summaries = [
        ClassSummary(number, name, dice, dice, 2.0, 1.0, 4, 4, 0, 0, 0)
        for number, name, dice in ((1, "CSF", 0.9), (2, "GM", 0.8), (3, "WM", 0.7))
    ]
    assert summary_text(summaries).splitlines()[-1].split() == ["average", "0.800", "0.800", "2.00", "1.00"]
