import pytest
import torch

from kseg.transforms.random_field import random_field

AXIS = torch.arange(0.0, 300.0, 6.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fields_are_standard_and_independent():
    fields = random_field(3, (AXIS, AXIS, AXIS), 20.0, generator())
    assert fields.shape == (3, 50, 50, 50)
    for field in fields:
        assert field.std() == pytest.approx(1.0, rel=0.05)
        assert field.mean().abs() < 0.05
    correlation = torch.corrcoef(fields.flatten(1)) - torch.eye(3)
    assert correlation.abs().max() < 0.05


def test_the_slope_is_that_of_a_spline_of_the_spacing():
    axis = torch.arange(0.0, 300.0)
    field = random_field(1, (axis, AXIS, AXIS), 20.0, generator())[0]
    expected = ((2 / 3) / (151 / 315)) ** 0.5 / 20  # sqrt(int B'^2 / int B^2) / spacing
    assert field.diff(dim=0).std() == pytest.approx(expected, rel=0.05)


def test_a_field_does_not_depend_on_where_else_it_is_evaluated():
    whole = random_field(1, (AXIS, AXIS, AXIS), 30.0, generator())
    # The last coordinates fix the number of control points.
    part = random_field(1, (AXIS[30:], AXIS[-1:], AXIS[-7:]), 30.0, generator())
    torch.testing.assert_close(part, whole[:, 30:, -1:, -7:])


def test_same_generator_same_field_and_the_global_one_is_untouched():
    state = torch.random.get_rng_state()
    first, again, other = (random_field(1, (AXIS, AXIS, AXIS), 20.0, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)
