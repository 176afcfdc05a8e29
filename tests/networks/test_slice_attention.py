"""Slice-wise attention against its two equations written out, and at sizes where they fail as printed."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kseg.networks.slice_attention import PLANES, RecurrentSliceAttention, SliceAggregation, SliceAttention

SHAPE = (2, 3, 4, 5, 6)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def projected(convolution: nn.Conv1d, x: Tensor) -> Tensor:
    """A 1 x 1 x 1 convolution, voxel by voxel."""
    assert convolution.bias is not None
    return (
        torch.einsum("oc,bczyx->bozyx", convolution.weight[..., 0], x) + convolution.bias[:, None, None, None]
    )


def tokens_of(aggregation: SliceAggregation, x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """M2, M1 and M3, `(batch, slice, length)`."""
    pair = projected(aggregation.match, x).chunk(2, dim=1)
    return tuple(each.movedim(axis, 1).flatten(2) for each in (*pair, projected(aggregation.value, x)))


def as_printed(aggregation: SliceAggregation, x: Tensor, axis: int) -> Tensor:
    """RT(A M3), slice by slice; with a gain, dot products over the product of lengths."""
    query, key, value = tokens_of(aggregation, x, axis)
    gathered = torch.zeros_like(value)
    for batch in range(x.shape[0]):
        for i, one in enumerate(query[batch]):
            logits = torch.stack([one.dot(other) for other in key[batch]])
            if aggregation.gain is not None:
                logits = aggregation.gain * logits / (one.norm() * key[batch].norm(dim=1))
            weights = logits.exp() / logits.exp().sum()
            gathered[batch, i] = sum(
                weight * token for weight, token in zip(weights, value[batch], strict=True)
            )
    return gathered.reshape(x.movedim(axis, 1).shape).movedim(1, axis)


@pytest.mark.parametrize("similarity", ["cosine", "product"])
@pytest.mark.parametrize("plane", PLANES)
def test_the_two_equations(plane: str, similarity: str, seeded: None):
    block = SliceAttention(3, plane, similarity)
    nn.init.constant_(block.scale, 0.7)
    x = noise(*SHAPE)
    expected = x + 0.7 * as_printed(block.aggregation, x, PLANES[plane])
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_torchs_own_attention_agrees(axis: int, seeded: None):
    x = noise(*SHAPE)
    for similarity in ("cosine", "product"):
        aggregation = SliceAggregation(3, similarity)
        query, key, value = tokens_of(aggregation, x, axis)
        scale = 1.0
        if similarity == "cosine":
            query, key, scale = F.normalize(query, dim=-1), F.normalize(key, dim=-1), 10.0
        expected = F.scaled_dot_product_attention(query, key, value, scale=scale)
        received = aggregation(x, axis).movedim(axis, 1).flatten(2)
        torch.testing.assert_close(received, expected)


def test_two_slices_by_hand(seeded: None):
    """Tokens (1, 0) and (0, 1): logits 1 and 0, so that each slice keeps e / (1 + e) of itself."""
    block = SliceAttention(1, "coronal", "product")
    for convolution in (block.aggregation.match, block.aggregation.value):
        nn.init.ones_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    nn.init.ones_(block.scale)
    kept = 2.718281828 / 3.718281828
    expected = [[1 + kept, 1 - kept], [1 - kept, 1 + kept]]
    assert block(torch.eye(2).reshape(1, 1, 1, 2, 2))[0, 0, 0].tolist() == [
        pytest.approx(row) for row in expected
    ]


@pytest.mark.parametrize("plane", PLANES)
def test_slices_in_another_order_come_out_in_that_order(plane: str, seeded: None):
    block, axis = SliceAttention(3, plane), PLANES[plane]
    nn.init.ones_(block.scale)
    x = noise(*SHAPE)
    order = torch.arange(SHAPE[axis]).roll(2)
    torch.testing.assert_close(block(x.index_select(axis, order)), block(x).index_select(axis, order))


def test_a_slice_that_is_moved_within_its_plane_is_another_one(seeded: None):
    block = SliceAttention(3, "axial")
    nn.init.ones_(block.scale)
    moved = noise(*SHAPE)
    moved[:, :, 1] = moved[:, :, 1].roll(1, dims=-1)
    back = block(moved)
    back[:, :, 1] = back[:, :, 1].roll(-1, dims=-1)
    assert (back - block(noise(*SHAPE))).abs().max() > 0.01


def test_at_first_both_blocks_are_the_identity(seeded: None):
    x = noise(*SHAPE)
    for block in (SliceAttention(3, "axial"), RecurrentSliceAttention(3)):
        assert torch.equal(block(x), x)


def test_directions_share_everything_but_their_scale(seeded: None):
    recurrent = RecurrentSliceAttention(3)
    shapes = {name: tuple(parameter.shape) for name, parameter in recurrent.named_parameters()}
    assert shapes == {
        "scales": (3,),
        "aggregation.gain": (),
        "aggregation.match.weight": (6, 3, 1),
        "aggregation.match.bias": (6,),
        "aggregation.value.weight": (3, 3, 1),
        "aggregation.value.bias": (3,),
    }
    scales = torch.tensor([0.5, -0.3, 0.8])
    recurrent.scales.data = scales
    in_turn = other_turn = noise(*SHAPE)
    blocks = [SliceAttention(3, plane) for plane in ("sagittal", "coronal", "axial")]
    for block, scale in zip(blocks, scales, strict=True):
        block.aggregation.load_state_dict(recurrent.aggregation.state_dict())
        block.scale.data = scale
    for first, last in zip(blocks, blocks[::-1], strict=True):
        in_turn, other_turn = first(in_turn), last(other_turn)
    torch.testing.assert_close(recurrent(noise(*SHAPE)), in_turn)
    assert (in_turn - other_turn).abs().max() > 1e-3


def test_gradients_reach_the_scales_first_and_then_everything(seeded: None):
    block = RecurrentSliceAttention(3)
    block(noise(*SHAPE)).square().sum().backward()
    assert block.scales.grad is not None
    assert block.scales.grad.abs().min() > 0
    nn.init.constant_(block.scales, 0.1)
    block(noise(*SHAPE)).square().sum().backward()
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in block.parameters())


def reached(block: nn.Module, axes: list[int]) -> Tensor:
    """Which voxels hear from one in the corner by what slices give each other, the attention held where it is."""
    match = block.get_submodule("aggregation.match")
    nn.init.zeros_(match.weight)  # type: ignore[arg-type]
    for name, parameter in block.named_parameters():
        if "scale" in name:
            nn.init.ones_(parameter)
    x = noise(*SHAPE)
    other = x.clone()
    other[:, :, 0, 0, 0] += 1
    heard = (block(x) != block(other)).any(dim=1)[0]
    expected = torch.zeros(SHAPE[2:], dtype=torch.bool)
    line: list[int | slice] = [0, 0, 0]
    for axis in axes:
        line[axis - 2] = slice(None)
    expected[tuple(line)] = True
    return torch.stack([heard, expected])


def test_after_three_directions_every_voxel_has_heard_from_every_one(seeded: None):
    for plane, axis in PLANES.items():
        heard, expected = reached(SliceAttention(3, plane), [axis])
        assert torch.equal(heard, expected)
        assert not heard.all()
    heard, expected = reached(RecurrentSliceAttention(3), [2, 3, 4])
    assert torch.equal(heard, expected)
    assert heard.all()


def test_among_tokens_of_one_length_the_cosine_is_the_product(seeded: None):
    """The slices are one slice, rolled; the gain is the product of the lengths."""
    product, cosine = SliceAggregation(3, "product"), SliceAggregation(3, "cosine")
    cosine.load_state_dict(product.state_dict(), strict=False)
    one = 0.4 * noise(1, 3, 5, 6)
    x = torch.stack([one.roll(shift, dims=-1) for shift in range(4)], dim=2)
    query, key, _ = tokens_of(product, x, axis=2)
    assert cosine.gain is not None
    cosine.gain.data = query[0, 0].norm() * key[0, 0].norm()
    expected = product.attention(x, axis=2)
    assert 0.05 < expected.max() - expected.min() < 0.95
    torch.testing.assert_close(cosine.attention(x, axis=2), expected)


def resembling_slices(n_slices: int) -> Tensor:
    """Sagittal slices of the second lowest level of a volume of 60 x 320 x 256, correlated by 0.9; 64 features."""
    common, own = noise(1, 64, 60, 80, 1), noise(1, 64, 60, 80, n_slices, seed=1)
    return (0.9**0.5 * common + 0.1**0.5 * own).relu()


def of_ones(similarity: str) -> SliceAggregation:
    """Features are compared as they are."""
    aggregation = SliceAggregation(64, similarity)
    aggregation.match.weight.data = torch.eye(64).repeat(2, 1)[..., None]
    nn.init.zeros_(aggregation.match.bias)
    return aggregation


def test_at_real_size_the_product_is_blind_and_overflows(seeded: None):
    x, aggregation = resembling_slices(4), of_ones("product")
    sharp = aggregation.attention(x, axis=4)
    assert sharp.diagonal(dim1=1, dim2=2).min() == 1
    sharp.square().sum().backward()
    assert not aggregation.match.weight.grad.any()
    assert not aggregation.half().attention(x.half(), axis=4).isfinite().all()
    # Nor does the root of the length help, the scale of other attention.
    tokens = x.movedim(4, 1).flatten(2)
    rooted = (tokens @ tokens.mT / tokens.shape[-1] ** 0.5).softmax(-1)
    assert rooted.diagonal(dim1=1, dim2=2).min() > 0.9999


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_at_real_size_the_cosine_is_not(dtype: torch.dtype, seeded: None):
    x = resembling_slices(4)
    tokens = F.normalize(x.movedim(4, 1).flatten(2).double(), dim=-1)
    exact = (10 * tokens @ tokens.mT).softmax(-1)
    aggregation = of_ones("cosine").to(dtype)
    received = aggregation.attention(x.to(dtype), axis=4)
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
    torch.testing.assert_close(received.double(), exact, rtol=0, atol=tolerance)
    assert 0.25 < received.diagonal(dim1=1, dim2=2).max() < 0.6
    received.square().sum().backward()
    assert aggregation.match.weight.grad.isfinite().all()
    assert aggregation.match.weight.grad.abs().max() > 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_is_close(dtype: torch.dtype, seeded: None):
    block = RecurrentSliceAttention(3)
    nn.init.ones_(block.scales)
    x = noise(*SHAPE)
    with torch.autocast("cpu", dtype=dtype):
        mixed = block(x)
    torch.testing.assert_close(mixed.float(), block(x), rtol=0, atol=0.1)


@pytest.mark.parametrize("similarity", ["cosine", "product"])
def test_an_empty_volume_stays_finite(similarity: str, seeded: None):
    block = RecurrentSliceAttention(3, similarity)
    nn.init.ones_(block.scales)
    nn.init.zeros_(block.aggregation.match.bias)
    block(torch.zeros(SHAPE)).sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in block.parameters())


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="expected plane axial, coronal, sagittal, received 'oblique'"):
        SliceAttention(3, "oblique")
    with pytest.raises(ValueError, match="expected similarity cosine or product, received 'angle'"):
        SliceAttention(3, "axial", "angle")
