"""Seeds that depend on what an item is, never on when or where it is processed."""

import hashlib
import operator

import torch


def item_seed(seed: int, *keys: str | int) -> int:
    """Derive the seed of one item from the seed of the run.

    The same (seed, keys) give the same number on every machine, in every worker and in every order.

    Args:
        seed: seed of the run.
        keys: what identifies the item, such as its relative path, slice and epoch.

    Returns:
        An integer in [0, 2**63).

    Raises:
        TypeError: a seed that is no integer, a key that is neither text nor an integer.

    Example:
        >>> item_seed(0, "head_01", 7) == item_seed(0, "head_01", 7)
        True
        >>> item_seed(0, "head_01", 7) == item_seed(0, "head_017")
        False
    """
    # An integer of NumPy prints as something else than the same integer of Python: both become the latter.
    names = [str(key) if isinstance(key, str) else operator.index(key) for key in keys]
    digest = hashlib.sha256(ascii((operator.index(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def item_generator(seed: int, *keys: str | int) -> torch.Generator:
    """Make the random generator of one item; see `item_seed`.

    PyTorch's CPU generator starts from the lower 32 bits of its seed, so one pair in 2**32 shares its stream.

    Example:
        >>> first = torch.rand(1, generator=item_generator(0, "head_01"))
        >>> bool(first == torch.rand(1, generator=item_generator(0, "head_01")))
        True
    """
    return torch.Generator().manual_seed(item_seed(seed, *keys))
