"""Work on the slices of a volume in blocks, side by side on all cores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def map_blocks(function: Callable[[slice], Tensor], count: int, step: int) -> Tensor:
    """Concatenate the results of a function of blocks of consecutive indices.

    Every block is worked on by one core. The tensors of a block are so small that PyTorch's own threads would
    wait for each other longer than they work, on a busy machine by orders of magnitude.

    Args:
        function: called with a slice of indices; returns a tensor with one row for each.
        count: number of indices, 1 or more.
        step: indices in a block, 1 or more.

    Returns:
        The rows of all blocks in order.

    Example:
        >>> map_blocks(lambda block: torch.arange(5)[block] ** 2, 5, 2)
        tensor([ 0,  1,  4,  9, 16])
    """
    blocks = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    n_threads = torch.get_num_threads()
    if len(blocks) == 1 or n_threads == 1:
        return torch.cat([function(block) for block in blocks])
    records_gradients = torch.is_grad_enabled()

    def run(block: slice) -> Tensor:
        # Whether gradients are recorded is a property of the thread.
        with torch.set_grad_enabled(records_gradients):
            return function(block)

    try:
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(run, blocks)))
    finally:
        # Threads that start later get the number that was set last by any thread.
        torch.set_num_threads(n_threads)
