"""The tables that a person reads in a terminal."""

from kseg.pipelines.metrics_summary import ClassSummary, LesionSummary
from kseg.pipelines.summary_text import summary_text

NOTHING = ClassSummary(1, "CSF", None, None, None, None, None, None, 0, 0, 0, 0, 5)


def test_columns_line_up_and_gaps_are_dashes() -> None:
    lesion = ClassSummary(
        2, "white matter lesion", 0.5, 0.25, 0.333, 0.143, 1234.567, 12.345, 1200000, 3, 17, 0, 0
    )
    assert summary_text([NOTHING, lesion]).splitlines() == [
        "class                 Dice  pooled    IoU  pooled    HD mm  HD95 mm    cases  missed",
        "CSF                      -       -      -       -        -        -        0       0",
        "white matter lesion  0.500   0.250  0.333   0.143  1234.57    12.35  1200000      17",
        "average              0.500   0.250  0.333   0.143  1234.57    12.35",
    ]


def test_the_average_is_that_of_the_classes() -> None:
    summaries = [
        ClassSummary(number, name, dice, dice, dice / 2, dice / 2, 2.0, 1.0, 4, 4, 0, 0, 0)
        for number, name, dice in ((1, "CSF", 0.9), (2, "GM", 0.8), (3, "WM", 0.7))
    ]
    words = summary_text(summaries).splitlines()[-1].split()
    assert words == ["average", "0.800", "0.800", "0.400", "0.400", "2.00", "1.00"]


def test_lesions_stand_below_and_say_how_many_cases_have_none() -> None:
    found = LesionSummary(0.75, 0.9, 2.0, 3, 1, 10, 9, 6)
    nothing = LesionSummary(None, None, 0.5, 4, 4, 0, 0, 2)
    classes = [
        NOTHING,
        ClassSummary(2, "lesion", 0.5, 0.5, 0.4, 0.4, 2.0, 1.0, 4, 4, 0, 0, 0, found),
        ClassSummary(3, "black hole", None, None, None, None, None, None, 0, 0, 0, 0, 4, nothing),
    ]
    assert summary_text(classes).splitlines()[5:] == [
        "lesions       TPR  pooled  FP per case  found  of  cases  without",
        "lesion      0.750   0.900         2.00      9  10      3        1",
        "black hole      -       -         0.50      0   0      4        4",
    ]
