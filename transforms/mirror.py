"""Left and right exchanged, the same way for an image, its k-space and its sampling mask."""

from torch import Tensor


def mirror_x(values: Tensor) -> Tensor:
    """Mirror the last axis about its origin, index n // 2.

    Reversing an image about its origin, x(r) to x(-r), turns its k-space S(k) into S(-k): the same reversal, about
    the same index, without a conjugation or a phase. Measured lines take their place in the mask with them. An even
    axis reaches one step further to the left than to the right; that step, index 0, is its own mirror image. Done
    twice, everything is where it was.

    Args:
        values: `(... x)`: an image, its centred k-space, its mask, or all of them as the channels of a network's
            input.

    Example:
        >>> import torch
        >>> mirror_x(torch.arange(6)), mirror_x(torch.arange(5))
        (tensor([0, 5, 4, 3, 2, 1]), tensor([4, 3, 2, 1, 0]))
    """
    reversed_values = values.flip(-1)
    return reversed_values if values.shape[-1] % 2 else reversed_values.roll(1, -1)
