"""What may be said of numbers over seeds."""

import pytest
from paper.spread import Spread, compare


def test_mean_and_sample_deviation() -> None:
    spread = Spread((0.80, 0.82, 0.84))
    assert spread.mean == pytest.approx(0.82)
    assert spread.deviation == pytest.approx(0.02)
    assert spread.text(3) == "0.820 ± 0.020"


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ([0.80, 0.84], [0.70, 0.74], ">"),
        ([0.70, 0.74], [0.80, 0.84], "<"),
        ([0.80, 0.84], [0.79, 0.80], "tie"),
        ([0.80], [0.70, 0.71], "one seed"),
        ([0.80, 0.81], [0.70], "one seed"),
        ([], [0.70, 0.71], "missing"),
    ],
)
def test_an_order_within_the_spread_is_a_tie(left: list[float], right: list[float], said: str) -> None:
    assert compare(left, right) == said


def test_just_as_far_apart_as_the_spread_is_still_a_tie() -> None:
    # Deviations of 0.5 and 0.5 in numbers that are exact.
    half = 2**-0.5
    deviation = Spread((0.0, 1.0)).deviation
    assert deviation == pytest.approx(half)
    assert compare([0.0, 1.0], [1.0, 2.0]) == "tie"
    assert compare([0.0, 1.0], [1.5, 2.5]) == "<"
