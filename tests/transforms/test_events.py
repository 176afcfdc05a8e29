import pytest

from kseg.transforms.events import Crush, Delay, Encode, Event, Pulse, Read, Spoil


def test_equal_events_are_one_so_that_what_repeats_is_prepared_once():
    played: list[Event] = [
        Pulse(90.0, 90.0),
        Crush(),
        Pulse(180.0, 0.0),
        Crush(),
        Delay(0.04),
        Delay(0.04),
        Read(),
    ]
    assert set(played) == {Pulse(90.0, 90.0), Pulse(180.0, 0.0), Crush(), Delay(0.04), Read()}


@pytest.mark.parametrize(
    "other", [Pulse(90.0, 0.0), Pulse(180.0, 90.0), Delay(90.0), Encode(1), Crush(), Spoil()]
)
def test_events_of_other_kind_or_value_differ(other: Event):
    assert other != Pulse(90.0, 90.0)
