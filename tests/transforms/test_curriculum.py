"""Eq. 1 of the stabilised training, written out by hand."""

from itertools import pairwise

import pytest

from kseg.transforms.curriculum import curriculum_fraction


def test_the_share_falls_by_the_same_factor_with_each_epoch_down_to_the_usual_one() -> None:
    received = [curriculum_fraction(epoch, 0.3, 4, epsilon=0.04) for epoch in range(7)]
    # 0.96 * 0.3125^(0, 1/4, 1/2, 3/4), then 0.3: epochs count from 1 in the paper, so its exponent is (i - 1) / P.
    assert received == pytest.approx([0.96, 0.717767, 0.536656, 0.401244, 0.3, 0.3, 0.3], abs=1e-6)
    for earlier, later in pairwise(received[:5]):
        assert later / earlier == pytest.approx(0.3125 ** (1 / 4))
    # The wrong twins: a linear fall, and one that is over an epoch earlier.
    assert received[2] != pytest.approx((0.96 + 0.3) / 2, abs=1e-2)
    assert received[3] != pytest.approx(0.3, abs=1e-2)


def test_the_first_epoch_leaves_out_epsilon() -> None:
    assert curriculum_fraction(0, 0.3, 10) == pytest.approx(0.99)
    assert curriculum_fraction(0, 0.3, 10, epsilon=0.0) == 1.0


@pytest.mark.parametrize("epoch", [0, 1, 50])
def test_without_patience_the_share_is_the_usual_one_to_the_bit(epoch: int) -> None:
    assert curriculum_fraction(epoch, 0.3, 0) == 0.3
    assert curriculum_fraction(10 + epoch, 0.3, 10) == 0.3


@pytest.mark.parametrize(
    ("epoch", "fraction", "patience", "epsilon"),
    [(-1, 0.3, 4, 0.01), (0, 0.0, 4, 0.01), (0, 1.1, 4, 0.01), (0, 0.3, -1, 0.01), (0, 0.3, 4, 1.0)],
)
def test_values_out_of_range_are_refused(epoch: int, fraction: float, patience: int, epsilon: float) -> None:
    expected = "curriculum: expected epoch >= 0, patience >= 0, 0 < fraction <= 1 and 0 <= epsilon < 1"
    received = f"received {epoch}, {patience}, {fraction} and {epsilon}"
    with pytest.raises(ValueError, match=f"^{expected}, {received}$"):
        curriculum_fraction(epoch, fraction, patience, epsilon)
