import pytest
import torch

from kseg.transforms.bias_field import bias_field

SHAPE, SPACING = (30, 110, 90), (3.0, 2.0, 2.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", [0.05, 0.2])
def test_its_mean_is_1_and_its_spread_that_which_was_asked_for(strength: float):
    fields = [bias_field(SHAPE, SPACING, strength, generator(seed)) for seed in range(30)]
    for field in fields:
        assert field.shape == SHAPE
        assert field.mean().item() == pytest.approx(1, abs=1e-4)
        assert (field > 0).all()
    logarithms = torch.stack(fields).log()
    # Over the volume; a part of the spread lies between volumes, whose mean is 1.
    assert 0.5 * strength < logarithms.std().item() < 1.05 * strength


def test_it_is_smooth_in_millimetres():
    field = bias_field(SHAPE, SPACING, 0.2, generator())
    for axis, spacing in enumerate(SPACING):
        assert field.diff(dim=axis).abs().max() / spacing < 0.02
    fine = bias_field((30, 220, 90), (3.0, 1.0, 2.0), 0.2, generator())
    torch.testing.assert_close(fine[:, ::2] / fine[0, 0, 0], field / field[0, 0, 0], rtol=0.02, atol=0.02)


def test_none_is_1_everywhere_and_the_generator_decides():
    assert (bias_field(SHAPE, SPACING, 0.0, generator()) == 1).all()
    first, again, other = (bias_field(SHAPE, SPACING, 0.1, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match=r"^bias field: expected a strength of 0 or more, received -0\.1$"):
        bias_field(SHAPE, SPACING, -0.1, generator())
