"""Work on the slices of a volume in blocks, side by side on all cores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def fill_blocks(
    rows: Tensor, function: Callable[[slice], Tensor], step: int, *, parallel: bool = True
) -> None:
    """Set rows to the results of a function of blocks of consecutive rows.

    Every block is worked on by one core. The tensors of a block are so small that PyTorch's own threads would
    wait for each other longer than they work, on a busy machine by orders of magnitude.

    Args:
        rows: is filled, `(row, ...)`.
        function: called with a slice; returns these rows.
        step: rows in a block, 1 or more.
        parallel: side by side, which records no gradients; else one after the other, which may.

    Example:
        >>> squares = torch.empty(5)
        >>> fill_blocks(squares, lambda block: torch.arange(5.0)[block] ** 2, 2)
        >>> squares
        tensor([ 0.,  1.,  4.,  9., 16.])
    """
    blocks = [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
    n_threads = torch.get_num_threads()
    if not parallel or n_threads == 1 or len(blocks) == 1:
        for block in blocks:
            rows[block] = function(block)
        return
    inference = torch.is_inference_mode_enabled()

    def fill(block: slice) -> None:
        # Modes belong to threads.
        with torch.inference_mode(inference), torch.no_grad():
            rows[block] = function(block)

    try:
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(fill, blocks))
    finally:
        # Threads that start later get the number that was set last by any thread.
        torch.set_num_threads(n_threads)
