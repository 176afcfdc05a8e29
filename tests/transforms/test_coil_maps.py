import pytest
import torch
from torch import Tensor

from kseg.transforms.coil_maps import coil_maps

SHAPE = (54, 45)


def maps(n_coils: int, seed: int = 0, shape: tuple[int, int] = SHAPE) -> Tensor:
    return coil_maps(n_coils, shape, torch.Generator().manual_seed(seed))


def largest_step(values: Tensor) -> float:
    """Largest difference between neighbours along y or x."""
    return max(float(values.diff(dim=axis).abs().max()) for axis in (-2, -1))


@pytest.mark.parametrize("n_coils", [1, 2, 4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_the_sum_of_squares_is_one_everywhere(n_coils: int, seed: int):
    sensitivities = maps(n_coils, seed)
    assert sensitivities.shape == (n_coils, 1, *SHAPE)
    assert sensitivities.dtype == torch.complex64
    assert torch.allclose(sensitivities.abs().square().sum(0), torch.ones(1, *SHAPE), atol=1e-6)


@pytest.mark.parametrize("n_coils", [1, 2, 4, 8])
@pytest.mark.parametrize("seed", range(20))
def test_maps_are_smooth_even_in_the_corners(n_coils: int, seed: int):
    # Finite differences shrink with the voxel; at a discontinuity or a vortex of the phase they would not.
    coarse, fine = (largest_step(maps(n_coils, seed, (27 * k, 24 * k))) for k in (4, 8))
    assert fine < 0.6 * coarse
    assert fine < 0.15


def test_a_vortex_of_the_phase_would_be_seen():
    y, x = torch.linspace(-1, 1, 108)[:, None] - 0.5, torch.linspace(-1, 1, 96) - 0.5
    assert largest_step(torch.polar(torch.ones(108, 96), torch.atan2(y, x.expand(108, 96)))) > 0.5


def test_one_coil_is_homogeneous_with_a_phase_that_varies():
    one = maps(1)
    assert torch.allclose(one.abs(), torch.ones_like(one.abs()), atol=1e-6)
    spread = (one / one[..., :1, :1]).angle()
    assert float(spread.max() - spread.min()) > 0.5


def test_coils_surround_the_slice_in_equal_steps():
    sensitivities = maps(8)[:, 0].abs().square()
    y, x = torch.linspace(-1, 1, SHAPE[0])[:, None], torch.linspace(-1, 1, SHAPE[1])
    weight = sensitivities.sum((1, 2))
    angle = torch.atan2((sensitivities * y).sum((1, 2)) / weight, (sensitivities * x).sum((1, 2)) / weight)
    step = torch.remainder(angle.diff(append=angle[:1]), 2 * torch.pi)
    assert torch.allclose(step, torch.full((8,), torch.pi / 4), atol=0.15)


def test_coils_differ_and_no_two_have_the_same_phase():
    flat = maps(4).flatten(1)
    overlap = (flat.conj() @ flat.T).abs() / flat.abs().square().sum(1)
    assert float((overlap - torch.diag(overlap.diag())).max()) < 0.8


def test_maps_depend_on_the_generator_alone():
    assert torch.equal(maps(4, 1), maps(4, 1))
    assert not torch.allclose(maps(4, 1), maps(4, 2), atol=0.1)
    generator = torch.Generator().manual_seed(1)
    assert not torch.allclose(coil_maps(4, SHAPE, generator), coil_maps(4, SHAPE, generator), atol=0.1)


def test_no_coil_is_refused():
    with pytest.raises(ValueError, match="coil maps: expected at least 1 coil, received 0"):
        maps(0)
