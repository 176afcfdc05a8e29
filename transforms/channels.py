"""The door of real-valued networks: complex coil data as real channels, the sampling mask as last channel.

Channels are the real parts of all coils, then their imaginary parts. All functions can be scripted.
"""

import torch
from torch import Tensor


def complex_to_channels(values: Tensor) -> Tensor:
    """Write complex coil data as real channels.

    Args:
        values: complex, shape `(batch, coil, y, x)`.

    Returns:
        Real parts of all coils, then imaginary parts, `(batch, 2 coil, y, x)`.

    Raises:
        ValueError: real values, or other than four axes.

    Example:
        >>> complex_to_channels(torch.tensor([1 + 2j, 3 + 4j])[None, :, None, None]).flatten()
        tensor([1., 3., 2., 4.])
    """
    if not torch.is_complex(values):
        raise ValueError(f"complex to channels: expected complex values, received {values.dtype}")
    _check_four_axes("complex to channels", values)
    return torch.cat((values.real, values.imag), dim=1)


def channels_to_complex(channels: Tensor) -> Tensor:
    """Read complex coil data from real channels; inverse of `complex_to_channels`.

    Args:
        channels: real, shape `(batch, 2 coil, y, x)`.

    Returns:
        Complex values `(batch, coil, y, x)`.

    Raises:
        ValueError: complex values, an odd number of channels, or other than four axes.

    Example:
        >>> channels_to_complex(torch.tensor([1.0, 3.0, 2.0, 4.0])[None, :, None, None]).flatten()
        tensor([1.+2.j, 3.+4.j])
    """
    if torch.is_complex(channels):
        raise ValueError(f"channels to complex: expected real channels, received {channels.dtype}")
    _check_four_axes("channels to complex", channels)
    n_channels = channels.shape[1]
    if n_channels % 2 or n_channels == 0:
        raise ValueError(f"channels to complex: expected an even number of channels, received {n_channels}")
    real, imaginary = channels[:, : n_channels // 2], channels[:, n_channels // 2 :]
    return torch.complex(real.contiguous(), imaginary.contiguous())


def network_input(kspace: Tensor, mask: Tensor) -> Tensor:
    """Make the one tensor that enters a network: under-sampled k-space and the mask that says where.

    Args:
        kspace: complex, shape `(batch, coil, y, x)`; what it holds outside the mask is ignored.
        mask: bool, True where sampled, of shape `(x,)` for one mask of phase-encode lines, `(y, x)` for one
            mask of points, `(batch, x)` and `(batch, y, x)` for one per item. Axes of length 1 are repeated.

    Returns:
        float32 `(batch, 2 coil + 1, y, x)`: real parts, imaginary parts, mask as 0 and 1.

    Raises:
        ValueError: not complex, not bool, a mask that does not fit, or one of two axes that could be `(y, x)`
            as well as `(batch, x)`; give that one as `(1, y, x)` or `(batch, 1, x)`.

    Example:
        >>> kspace = torch.tensor([[1 + 2j, 3 + 4j]])[None, None]
        >>> network_input(kspace, torch.tensor([True, False]))[0, :, 0]
        tensor([[1., 0.],
                [2., 0.],
                [1., 0.]])
    """
    channels = complex_to_channels(kspace).to(torch.float32)
    if mask.dtype != torch.bool:
        raise ValueError(f"network input: expected a bool mask, received {mask.dtype}")
    sampled = _mask_of_batch(mask, channels)
    # Chosen, not multiplied: what an unsampled NaN or infinity was does not survive.
    measured = torch.where(sampled, channels, torch.zeros_like(channels))
    return torch.cat((measured, sampled.to(torch.float32)), dim=1)


def split_network_input(x: Tensor) -> tuple[Tensor, Tensor]:
    """Read k-space and mask back; inverse of `network_input`.

    Args:
        x: real, shape `(batch, 2 coil + 1, y, x)`, the mask last.

    Returns:
        Complex k-space `(batch, coil, y, x)` and the mask as 0 and 1, `(batch, 1, y, x)`, real.

    Raises:
        ValueError: an even number of channels, fewer than three, or other than four axes.

    Example:
        >>> kspace, mask = split_network_input(torch.tensor([1.0, 2.0, 1.0])[None, :, None, None])
        >>> kspace.flatten(), mask.flatten()
        (tensor([1.+2.j]), tensor([1.]))
    """
    _check_four_axes("network input", x)
    n_channels = x.shape[1]
    if n_channels < 3 or n_channels % 2 == 0:
        raise ValueError(f"network input: expected 2 coil + 1 channels, 3 or more, received {n_channels}")
    return channels_to_complex(x[:, :-1]), x[:, -1:]


def _check_four_axes(stage: str, values: Tensor) -> None:
    if values.dim() != 4:
        raise ValueError(
            f"{stage}: expected axes (batch, channel, y, x), received shape {list(values.shape)}"
        )


def _mask_of_batch(mask: Tensor, channels: Tensor) -> Tensor:
    """Bring a mask to (batch, 1, y, x)."""
    n_batch, n_y, n_x = channels.shape[0], channels.shape[2], channels.shape[3]
    shape = list(mask.shape)
    if len(shape) == 2 and n_batch == n_y and shape[0] == n_y and n_y > 1:
        raise ValueError(
            f"network input: expected a mask (1, y, x) or (batch, 1, x) where batch and y are both {n_y}, "
            f"received shape {shape}, which could be either"
        )
    if len(shape) == 1:
        mask = mask[None, None]
    elif len(shape) == 2:
        mask = mask[:, None] if shape[0] == n_batch else mask[None]
    if (
        mask.dim() != 3
        or mask.shape[0] not in (1, n_batch)
        or mask.shape[1] not in (1, n_y)
        or mask.shape[2] != n_x
    ):
        raise ValueError(
            f"network input: expected a mask (x,), (batch, x), (y, x) or (batch, y, x) "
            f"of batch {n_batch}, y {n_y}, x {n_x}, received shape {shape}"
        )
    return mask[:, None].expand(n_batch, 1, n_y, n_x)
