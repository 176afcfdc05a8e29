import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kseg.networks.non_local import NonLocalBlock


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(fused: bool = False) -> NonLocalBlock:
    block = NonLocalBlock(4, fused)
    block.embedding.weight.data = noise(6, 4, 1, seed=1)
    block.output.weight.data = noise(4, 2, 1, seed=2)
    return block


@pytest.mark.parametrize("fused", [False, True])
def test_the_embedded_gaussian_voxel_by_voxel(fused: bool, seeded: None):
    block, x = trained(fused), noise(2, 4, 2, 3, 2)
    voxels = x.flatten(2).transpose(1, 2)
    theta, phi, g = (voxels @ block.embedding.weight[..., 0].T + block.embedding.bias).split(2, dim=-1)
    expected = voxels.clone()
    for batch in range(2):
        for i in range(12):
            affinity = torch.stack([theta[batch, i].dot(phi[batch, j]).exp() for j in range(12)])
            y = (affinity / affinity.sum()) @ g[batch]
            expected[batch, i] += block.output.weight[..., 0] @ y + block.output.bias
    torch.testing.assert_close(block(x), expected.transpose(1, 2).reshape(x.shape))


def test_at_first_it_is_the_identity_and_learns(seeded: None):
    block, x = NonLocalBlock(4), noise(1, 4, 2, 3, 2)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.output.weight.grad is not None
    assert block.output.weight.grad.any()


def test_gradients_are_the_same_fused(seeded: None):
    gradients = []
    for fused in (False, True):
        block = trained(fused)
        nn.init.zeros_(block.embedding.bias)
        block(noise(1, 4, 3, 4, 5)).square().sum().backward()
        gradients.append(block.embedding.weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_every_voxel_hears_from_every_one(seeded: None):
    block, x = trained(), noise(1, 4, 2, 3, 2)
    other = x.clone()
    other[..., 0, 0, 0] += 1
    assert (block(x) != block(other)).any(dim=1).all()


def test_fused_makes_no_map(seeded: None):
    with FlopCounterMode(display=False) as counter:
        trained(fused=True)(noise(1, 4, 2, 3, 2))
        fused = set(counter.get_flop_counts()["Global"])
    with FlopCounterMode(display=False) as counter:
        trained()(noise(1, 4, 2, 3, 2))
        explicit = set(counter.get_flop_counts()["Global"])
    assert torch.ops.aten.bmm in explicit
    assert torch.ops.aten.bmm not in fused
