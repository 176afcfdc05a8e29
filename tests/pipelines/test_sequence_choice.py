"""A sequence by name, with the times that were given."""

from typing import Any

import pytest

from kseg.pipelines.sequence_choice import make_sequence
from kseg.transforms.sequences import GradientEcho, InversionRecovery, SpinEcho


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("spin_echo", {}, SpinEcho()),
        ("spin_echo", {"te": 0.1, "tr": 4.0, "flip": 80.0}, SpinEcho(te=0.1, tr=4.0, flip_deg=80.0)),
        ("gradient_echo", {"flip": 25.0}, GradientEcho(flip_deg=25.0)),
        ("inversion_recovery", {"tr": 6.0}, InversionRecovery(tr=6.0)),
        ("inversion_recovery", {"ti": 2.2, "tr": 9.0}, InversionRecovery(ti=2.2, tr=9.0)),
    ],
)
def test_what_is_not_given_keeps_its_default(name: str, given: dict[str, Any], expected: object) -> None:
    assert make_sequence(name, **given) == expected


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "epi",
            {},
            r"^sequence: expected one of spin_echo, gradient_echo, inversion_recovery, received 'epi'$",
        ),
        ("spin_echo", {"ti": 1.0}, r"^sequence: expected an inversion time for inversion_recovery alone, "),
        (
            "spin_echo",
            {"te": 5.0},
            r"^sequence times in seconds: expected 0 < te < tr .*, received te 5, tr 3$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_sequence(name, **given)
