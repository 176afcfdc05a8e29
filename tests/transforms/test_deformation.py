import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.transforms.deformation import (
    Deformation,
    DeformationStrength,
    exponential,
    interpolate,
    nearest_labels,
    random_deformation,
    random_velocity,
    warp_head,
)
from kseg.transforms.head import CrispHead

EXTENT = (96.0, 120.0, 104.0)
NONE = DeformationStrength(0.0, 25.0, 0.0, 0.0, 0.0, 0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def jacobian_determinants(displacement: Tensor) -> Tensor:
    steps = [size / (n - 1) for size, n in zip(EXTENT, displacement.shape[1:], strict=True)]
    gradient = torch.stack(torch.gradient(displacement, spacing=steps, dim=(1, 2, 3)), dim=1)
    return torch.linalg.det(gradient.movedim((0, 1), (-2, -1)) + torch.eye(3))


def random_points(n: int, margin_mm: float = 0.0) -> Tensor:
    size = torch.tensor(EXTENT) - 2 * margin_mm
    return margin_mm + size * torch.rand(n, 3, generator=generator(99))


def two_tissue_head() -> CrispHead:
    indices = np.zeros((12, 15, 13), dtype=np.uint8)
    indices[4:8, 4:10, 2:9] = 1
    indices[5:7, 6:8, 4:6] = 2
    return CrispHead(indices, ("air", "gm", "wm"), (8.0, 8.0, 8.0), np.eye(4))


def test_zero_strength_is_the_identity():
    deformation = random_deformation(EXTENT, generator(), NONE)
    points = random_points(100)
    torch.testing.assert_close(deformation.source_points(points), points, rtol=0, atol=1e-4)
    head = two_tissue_head()
    assert (warp_head(head, deformation).indices == head.indices).all()


@pytest.mark.parametrize("sd_mm", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_flow_never_folds(sd_mm: float, seed: int):
    velocity = random_velocity(EXTENT, generator(seed), sd_mm, 25.0)
    assert jacobian_determinants(exponential(velocity, EXTENT)).min() > 0.1
    # A displacement of the same size without scaling and squaring does fold.
    assert jacobian_determinants(6 * velocity / sd_mm * 2.5).min() < 0


def test_the_flow_of_the_negative_velocity_is_the_inverse():
    velocity = random_velocity(EXTENT, generator(), 2.5, 25.0)
    forward, backward = exponential(velocity, EXTENT), exponential(-velocity, EXTENT)
    start = random_points(500, margin_mm=15.0)
    there = start + interpolate(forward, EXTENT, start)
    back = there + interpolate(backward, EXTENT, there)
    assert (there - start).norm(dim=-1).mean() > 2.0
    assert (back - start).norm(dim=-1).mean() < 0.15
    assert (there - interpolate(forward, EXTENT, there) - start).norm(dim=-1).mean() > 0.3


def test_the_flow_of_a_constant_velocity_is_that_velocity():
    velocity = torch.tensor([3.0, -2.0, 1.0])[:, None, None, None].expand(3, 13, 16, 14)
    torch.testing.assert_close(exponential(velocity, EXTENT), velocity.contiguous())


def test_the_flow_of_a_linear_velocity_is_exponential():
    z = torch.linspace(0, EXTENT[0], 13)
    velocity = torch.zeros(3, 13, 16, 14)
    velocity[0] = (-0.3 * (z - 48))[:, None, None]
    expected = (z - 48) * (torch.tensor(-0.3).exp() - 1)
    torch.testing.assert_close(exponential(velocity, EXTENT)[0, :, 5, 5], expected, rtol=0.01, atol=1e-3)


def test_velocity_has_the_standard_deviation_asked_for_and_is_smooth():
    extent = (400.0, 400.0, 400.0)
    velocity = random_velocity(extent, generator(), 2.0, 25.0)
    assert velocity.std() == pytest.approx(2.0, rel=0.03)
    assert velocity.mean().abs() < 0.05
    steps = velocity.diff(dim=3).std() / velocity.std()
    assert 0.4 < steps < 0.5  # sqrt(int B'^2 / int B^2) * 10 / 25 = 0.47 for a cubic B-spline


def test_same_generator_same_field_and_the_global_one_is_untouched():
    state = torch.random.get_rng_state()
    first, again, other = (random_deformation(EXTENT, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.displacement_mm, again.displacement_mm)
    assert torch.equal(first.matrix, again.matrix)
    assert not torch.equal(first.displacement_mm, other.displacement_mm)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_affine_map_leaves_the_centre_and_stays_in_its_range():
    centre = (40.0, 50.0, 60.0)
    strength = DeformationStrength(0.0, 25.0, 10.0, 0.1, 0.02, 0.5)
    flips = 0
    for seed in range(60):
        deformation = random_deformation(EXTENT, generator(seed), strength, centre_mm=centre)
        torch.testing.assert_close(deformation.source_points(torch.tensor(centre)), torch.tensor(centre))
        linear = deformation.matrix[:, :3]
        assert 0.9**3 * 0.99 <= torch.linalg.det(linear).abs() <= 1.1**3
        assert torch.linalg.svdvals(linear).sub(1).abs().max() < 0.14
        flips += int(torch.linalg.det(linear) < 0)
    assert 18 < flips < 42


def test_pure_rotation_keeps_distances():
    strength = DeformationStrength(0.0, 25.0, 30.0, 0.0, 0.0, 0.0)
    linear = random_deformation(EXTENT, generator(), strength).matrix[:, :3]
    torch.testing.assert_close(linear @ linear.T, torch.eye(3))
    assert (linear - torch.eye(3)).abs().max() > 0.05


def test_warping_pulls_from_the_source():
    shift = torch.tensor([[1.0, 0, 0, 8.0], [0, 1, 0, -16.0], [0, 0, 1, 0]])
    deformation = Deformation(torch.zeros(3, 2, 2, 2), shift, (96.0, 120.0, 104.0))
    head = two_tissue_head()
    warped = warp_head(head, deformation).indices
    assert (warped[3:7, 6:12] == head.indices[4:8, 4:10]).all()
    assert (warped > 0).sum() == (head.indices > 0).sum()


def test_a_grid_has_the_sources_of_its_points():
    deformation = random_deformation(EXTENT, generator(5))
    z, y, x = torch.tensor([-20.0, 3.3, 95.0]), torch.linspace(-5, 130, 20), torch.linspace(-9, 120, 17)
    points = torch.stack(torch.meshgrid(z, y, x, indexing="ij"), dim=-1)
    sources = deformation.source_points(points)
    assert (sources - points).norm(dim=-1).mean() > 1
    torch.testing.assert_close(deformation.source_grid((z, y, x)), sources, rtol=0, atol=2e-3)


def test_points_outside_the_volume_are_air():
    labels = torch.ones(2, 3, 4, dtype=torch.uint8)
    points = torch.tensor(
        [[-0.1, 1, 1], [2.1, 1, 1], [1, -0.1, 1], [1, 3.1, 1], [1, 1, -0.1], [1, 1, 4.1], [1, 1, 1]]
    )
    assert nearest_labels(labels, (1.0, 1.0, 1.0), points).tolist() == [0, 0, 0, 0, 0, 0, 1]
