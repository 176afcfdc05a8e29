"""Sequences drawn from ranges: where the times lie, and what they depend on."""

from typing import Any

import pytest
import torch

from kseg.transforms.rand_sequence import RandSequence
from kseg.transforms.sequences import GradientEcho, InversionRecovery, SpinEcho

INVERSION = RandSequence("inversion_recovery", te=(0.01, 0.02), tr=(3.0, 6.0), ti=(0.5, 1.0))


def drawn(scan: RandSequence, seed: int = 0) -> SpinEcho | GradientEcho | InversionRecovery:
    return scan.draw(torch.Generator().manual_seed(seed))


def test_times_fill_their_ranges_independently() -> None:
    generator = torch.Generator().manual_seed(0)
    sequences = [
        each
        for each in (INVERSION.draw(generator) for _ in range(400))
        if isinstance(each, InversionRecovery)
    ]
    assert len(sequences) == 400
    values = torch.tensor([[each.te, each.tr, each.ti] for each in sequences], dtype=torch.float64)
    low, high = torch.tensor([[0.01, 3.0, 0.5], [0.02, 6.0, 1.0]], dtype=torch.float64)
    shares = (values - low) / (high - low)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (shares.amin(0) < 0.02).all()
    assert (shares.amax(0) > 0.98).all()
    # Uniform: mean 1/2 and variance 1/12, and no time tells of another.
    torch.testing.assert_close(shares.mean(0), torch.full((3,), 0.5, dtype=torch.float64), rtol=0, atol=0.05)
    assert (shares.T.cov() - torch.eye(3) / 12).abs().max() < 0.015
    assert {each.flip_deg for each in sequences} == {90.0}


def test_a_sequence_depends_on_its_generator_alone() -> None:
    assert drawn(INVERSION) == drawn(INVERSION)
    assert drawn(INVERSION) != drawn(INVERSION, seed=1)


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        (RandSequence("spin_echo"), SpinEcho()),
        (RandSequence("spin_echo", te=[0.1, 0.1], tr=[4, 4]), SpinEcho(te=0.1, tr=4.0)),
        (RandSequence("gradient_echo", flip_deg=(25.0, 25.0)), GradientEcho(flip_deg=25.0)),
        (RandSequence("inversion_recovery", ti=(0.4, 0.4)), InversionRecovery(ti=0.4)),
    ],
)
def test_what_is_not_given_keeps_its_default(scan: RandSequence, expected: object) -> None:
    assert drawn(scan) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "epi"}, r"expected one of spin_echo, gradient_echo, inversion_recovery, received 'epi'$"),
        (
            {"name": "spin_echo", "ti": (0.5, 1.0)},
            "expected an inversion time for inversion_recovery alone, received one for spin_echo$",
        ),
        (
            {"name": "spin_echo", "te": (0.1, 0.05)},
            r"expected te as \(smallest, largest\), received \[0.1, 0.05\]$",
        ),
        ({"name": "spin_echo", "tr": (2.0,)}, r"expected tr as \(smallest, largest\), received \[2.0\]$"),
        # Each time fits alone; the longest echo does not fit into the shortest repetition.
        (
            {"name": "spin_echo", "te": (0.1, 0.6), "tr": (0.5, 3.0)},
            "expected 0 < te < tr .*, received te 0.6, tr 0.5$",
        ),
        ({"name": "gradient_echo", "te": (0.0, 0.01)}, "expected 0 < te < tr .*, received te 0, tr"),
        ({"name": "inversion_recovery", "ti": (0.0, 0.5)}, "expected ti > 0, received 0.0$"),
        (
            {"name": "inversion_recovery", "ti": (0.5, 2.0), "tr": (2.0, 5.0)},
            "expected 0 < te < tr .*, tr 0$",
        ),
    ],
)
def test_ranges_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandSequence(**arguments)
