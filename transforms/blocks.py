"""Work on the slices of a volume in blocks, side by side on all cores."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def fill_blocks(
    rows: Tensor, new_worker: Callable[[], Callable[[slice], Tensor]], step: int, *, parallel: bool = True
) -> None:
    """Set rows to what workers make of blocks of consecutive rows.

    Every worker has a core to itself. The tensors of a block are so small that PyTorch's own threads would wait for
    each other longer than they work, on a busy machine by orders of magnitude. Blocks go to whoever is free.

    Args:
        rows: is filled, `(row, ...)`.
        new_worker: called once by every thread, for a function that is called with slices and returns these rows. It
            may return the same memory every time.
        step: rows in a block, 1 or more.
        parallel: side by side, which records no gradients; else one after the other, which may.

    Example:
        >>> squares = torch.empty(5)
        >>> fill_blocks(squares, lambda: lambda block: torch.arange(5.0)[block] ** 2, 2)
        >>> squares
        tensor([ 0.,  1.,  4.,  9., 16.])
    """
    # One iterator for all threads: taking from it is atomic, and a queue's locks cost as much as a block.
    blocks = iter([slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)])

    def work() -> None:
        worker = new_worker()
        for block in blocks:
            rows[block] = worker(block)

    n_threads = torch.get_num_threads()
    if not parallel or n_threads == 1 or len(rows) <= step:
        work()
        return
    inference = torch.is_inference_mode_enabled()

    def work_in_thread(_: int) -> None:
        # Modes belong to threads.
        with torch.inference_mode(inference), torch.no_grad():
            work()

    try:
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(work_in_thread, range(n_threads)))
    finally:
        # Threads that start later get the number that was set last by any thread.
        torch.set_num_threads(n_threads)


class Memory:
    """Memory that a worker uses again for block after block: fresh memory costs a fault for each of its pages.

    Example:
        >>> memory = Memory()
        >>> first = memory.take("image", (2, 3), torch.float32).fill_(1.0)
        >>> memory.take("image", (1, 2), torch.float32)
        tensor([[1., 1.]])
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor to write to, with whatever it held before.

        Args:
            name: what it is for; one that is taken again under this name is lost.
            shape: its shape.
            dtype: its type.
        """
        n = math.prod(shape)
        tensor = self._tensors.get(name)
        if tensor is None or tensor.numel() < n or tensor.dtype != dtype:
            tensor = self._tensors[name] = torch.empty(n, dtype=dtype)
        return tensor[:n].view(*shape)
