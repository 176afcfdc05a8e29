"""The non-local block: every voxel attends to every voxel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonLocalBlock(nn.Module):
    """Non-local block for volumes, embedded Gaussian; the identity at first.

    As published the attention map has (voxels of the volume)^2 entries. Torch's fused attention computes the same
    without ever holding the map, in as many operations.

    Args:
        channels: features of a voxel; the block works on half as many.
        fused: fused attention instead of the map.

    Reference:
        Wang et al. 2018, Non-local neural networks, Eq. 6 and Fig. 2, without sub-sampling.
    """

    def __init__(self, channels: int, fused: bool = False) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.fused = fused
        # 1 x 1 x 1 convolutions: theta, phi and g; and W_z.
        self.embedding = nn.Conv1d(channels, 3 * inner, 1)
        self.output = nn.Conv1d(inner, channels, 1)
        nn.init.zeros_(self.output.weight)
        assert self.output.bias is not None
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Attended features; x `(batch, channel, slice, y, x)`, as is the result."""
        query, key, value = self.embedding(x.flatten(2)).transpose(1, 2).contiguous().chunk(3, dim=-1)
        if self.fused:
            # Without a head, or with voxels last in memory, it would make the map after all.
            heads = [each.unsqueeze(1) for each in (query, key, value)]
            gathered = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], scale=1.0).squeeze(1)
        else:
            weights = torch.softmax(torch.matmul(query, key.transpose(1, 2)), dim=-1).to(value.dtype)
            gathered = torch.matmul(weights, value)
        attended: Tensor = x + self.output(gathered.transpose(1, 2)).reshape(x.shape)
        return attended
