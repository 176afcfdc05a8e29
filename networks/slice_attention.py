"""Slice-wise attention: whole slices as tokens, along one direction or along all three in turn."""

import torch
from torch import Tensor, nn

# The axis of (batch, channel, slice, y, x) along which the slices of a plane follow each other.
PLANES = {"axial": 2, "coronal": 3, "sagittal": 4}
SIMILARITIES = ("cosine", "product")


class SliceAggregation(nn.Module):
    """What every slice gathers from all slices: RT(A M3) of Eq. 2, with the attention map A of Eq. 1.

    A slice is one token of channel x height x width numbers. The paper's similarity of two tokens is their dot
    product, which grows with that length: at real sizes softmax saturates, so that no gradient reaches M1 and M2, and
    float16 overflows. Divided by the root of the length it still saturates, since slices of a body resemble each
    other far more than independent noise does. The cosine, times a learned gain, stays within the gain at any size;
    where all tokens have one length, and the gain is its square, it is the dot product.

    Torch's fused attention is slower here, forward and backward: it is made for many short tokens.

    Args:
        channels: features of a voxel.
        similarity: `cosine`, or `product` as the paper prints it.

    Raises:
        ValueError: another similarity.

    Reference:
        Zhang et al. 2019, RSANet, Eq. 1 and 2; Henry et al. 2020, Query-key normalization, for cosine and gain,
        which starts there at 10 for 32 tokens.
    """

    def __init__(self, channels: int, similarity: str = "cosine") -> None:
        if similarity not in SIMILARITIES:
            raise ValueError(
                f"slice attention: expected similarity {' or '.join(SIMILARITIES)}, received {similarity!r}"
            )
        super().__init__()
        # 1 x 1 x 1 convolutions: a voxel's M2 and M1, and its M3.
        self.match = nn.Conv1d(channels, 2 * channels, 1)
        self.value = nn.Conv1d(channels, channels, 1)
        self.gain = nn.Parameter(torch.tensor(10.0)) if similarity == "cosine" else None

    def forward(self, x: Tensor, axis: int, scale: Tensor | None = None) -> Tensor:
        """Gather along an axis.

        Args:
            x: `(batch, channel, slice, y, x)`.
            axis: of the slices.
            scale: a number that the result is multiplied with, 1 if not given.

        Returns:
            A tensor of the shape of x.
        """
        query, key, tokens = self._tokens(x, axis, scale)
        gathered = torch.matmul(self._weights(query, key).to(tokens.dtype), tokens)
        return gathered.reshape(x.movedim(axis, 1).shape).movedim(1, axis)

    def attention(self, x: Tensor, axis: int) -> Tensor:
        """What each slice takes from each, `(batch, taking slice, given slice)`; the rows sum to 1."""
        query, key, _ = self._tokens(x, axis, None)
        return self._weights(query, key)

    def _tokens(self, x: Tensor, axis: int, scale: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """M2, M1 and M3, each `(batch, slice, length)`: one product, with all factors in its weights."""
        slices = x.movedim(axis, 1)
        voxels = slices.flatten(3).flatten(0, 1).contiguous()
        match, value = self.match.weight[:, :, 0], self.value.weight[:, :, 0]
        match_bias, value_bias = self.match.bias, self.value.bias
        assert match_bias is not None
        assert value_bias is not None
        if self.gain is not None:
            # The cosine stays as it is, and float16 holds the products of tokens of any length.
            length = voxels.shape[1] * voxels.shape[2]
            root = torch.full((), length, dtype=torch.float32, device=x.device).rsqrt()
            match, match_bias = match * root, match_bias * root
        if scale is not None:
            value, value_bias = value * scale, value_bias * scale
        weight, bias = torch.cat([match, value]), torch.cat([match_bias, value_bias])
        embedded = torch.baddbmm(bias[None, :, None], weight.expand(voxels.shape[0], -1, -1), voxels)
        query, key, tokens = embedded.reshape(slices.shape[0], slices.shape[1], 3, -1).unbind(2)
        return query, key, tokens

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        logits = torch.matmul(query, key.transpose(1, 2))
        if self.gain is not None:
            logits = self.gain * logits.float() / (_length(query) * _length(key).transpose(1, 2))
        return torch.softmax(logits, dim=-1)


class SliceAttention(nn.Module):
    """Attention among the slices of one plane (SA block); the identity at first.

    Args:
        channels: features of a voxel.
        plane: `axial` (slices along `slice`), `coronal` (along y) or `sagittal` (along x).
        similarity: as in `SliceAggregation`.

    Raises:
        ValueError: another plane or similarity.

    Reference:
        Zhang et al. 2019, RSANet: recurrent slice-wise attention network for multiple sclerosis lesion segmentation,
        Section 2.1.

    Example:
        Two slices that resemble each other exchange their mean.

        >>> block = SliceAttention(1, "axial")
        >>> for convolution in (block.aggregation.match, block.aggregation.value):
        ...     _ = nn.init.ones_(convolution.weight), nn.init.zeros_(convolution.bias)
        >>> _ = nn.init.ones_(block.scale)
        >>> block(torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1, 1)).flatten().tolist()
        [3.0, 5.0]
    """

    def __init__(self, channels: int, plane: str, similarity: str = "cosine") -> None:
        if plane not in PLANES:
            raise ValueError(f"slice attention: expected plane {', '.join(PLANES)}, received {plane!r}")
        super().__init__()
        self.axis = PLANES[plane]
        self.aggregation = SliceAggregation(channels, similarity)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Attended features; x `(batch, channel, slice, y, x)`, as is the result."""
        attended: Tensor = x + self.aggregation(x, self.axis, self.scale)
        return attended


class RecurrentSliceAttention(nn.Module):
    """Attention among sagittal, then coronal, then axial slices (RSA block); the identity at first.

    After the three of them every voxel has heard from every other one. Convolutions are shared by the directions;
    each direction has its own scale.

    Args:
        channels: features of a voxel.
        similarity: as in `SliceAggregation`.

    Reference:
        Zhang et al. 2019, RSANet, Section 2.2.
    """

    def __init__(self, channels: int, similarity: str = "cosine") -> None:
        super().__init__()
        self.axes = [PLANES[plane] for plane in ("sagittal", "coronal", "axial")]
        self.aggregation = SliceAggregation(channels, similarity)
        self.scales = nn.Parameter(torch.zeros(len(self.axes)))

    def forward(self, x: Tensor) -> Tensor:
        """Attended features; x `(batch, channel, slice, y, x)`, as is the result."""
        for index, axis in enumerate(self.axes):
            x = x + self.aggregation(x, axis, self.scales[index])
        return x


def _length(tokens: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True, dtype=torch.float32)
    return length.clamp(min=1e-6)
