"""What may be said of numbers over seeds."""

import numpy as np
import pytest
from paper.spread import Spread, compare
from paper.tables import HOW_JUDGED


def test_mean_and_sample_deviation() -> None:
    spread = Spread((0.80, 0.82, 0.84))
    assert spread.mean == pytest.approx(0.82)
    assert spread.deviation == pytest.approx(0.02)
    assert spread.text(3) == "0.820 ± 0.020"


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ([0.80, 0.84, 0.82], [0.70, 0.74, 0.72], ">"),
        ([0.70, 0.74, 0.72], [0.80, 0.84, 0.82], "<"),
        ([0.80, 0.84, 0.82], [0.79, 0.80, 0.81], "tie"),
        ([0.80, 0.81], [0.70, 0.71, 0.72], "few"),
        ([0.80, 0.81, 0.82], [0.70], "few"),
        ([], [0.70, 0.71, 0.72], "few"),
    ],
)
def test_an_order_within_the_spread_is_a_tie(left: list[float], right: list[float], said: str) -> None:
    assert compare(left, right) == said


def test_just_as_far_apart_as_the_spread_is_still_a_tie() -> None:
    # Deviations of 1 and 1 in numbers that are exact.
    assert Spread((0.0, 1.0, 2.0)).deviation == 1.0
    assert compare([0.0, 1.0, 2.0], [2.0, 3.0, 4.0]) == "tie"
    assert compare([0.0, 1.0, 2.0], [2.5, 3.5, 4.5]) == "<"


def test_equal_methods_are_called_different_as_often_as_the_pages_say() -> None:
    drawn = np.random.default_rng(0).normal(size=(4000, 2, 3))
    wrong = sum(compare(*pair) != "tie" for pair in drawn.tolist()) / len(drawn)
    assert wrong == pytest.approx(1 / 12, abs=0.01)
    assert " 1 in 12 " in HOW_JUDGED
