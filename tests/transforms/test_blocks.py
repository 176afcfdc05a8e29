import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from kseg.transforms.blocks import map_blocks


@pytest.fixture(params=[1, 2])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """PyTorch works with this many threads during the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def threads_here_and_later() -> tuple[int, int]:
    """Threads that PyTorch works with in this thread, and in one that starts now."""
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return torch.get_num_threads(), later[0]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_blocks_come_back_in_order(n_threads: int, step: int):
    rows = torch.arange(14.0).reshape(7, 2)
    assert torch.equal(map_blocks(lambda block: 2 * rows[block], 7, step), 2 * rows)


def test_blocks_have_the_size_asked_for(n_threads: int):
    sizes: list[int] = []

    def size(block: slice) -> Tensor:
        sizes.append(block.stop - block.start)
        return torch.zeros(sizes[-1])

    assert len(map_blocks(size, 8, 3)) == 8
    assert sorted(sizes) == [2, 3, 3]


def test_every_block_has_one_thread_and_the_number_of_threads_stays(n_threads: int):
    inside = map_blocks(lambda block: torch.tensor([torch.get_num_threads()]), 4, 1)
    assert inside.tolist() == [1] * 4
    assert threads_here_and_later() == (n_threads, n_threads)


def test_gradients_pass_where_they_are_recorded(n_threads: int):
    rows = torch.arange(6.0).requires_grad_()
    (gradient,) = torch.autograd.grad(map_blocks(lambda block: rows[block] ** 2, 6, 2).sum(), rows)
    assert torch.equal(gradient, 2 * rows.detach())
    with torch.no_grad():
        assert not map_blocks(lambda block: rows[block] ** 2, 6, 2).requires_grad
    with torch.inference_mode():
        assert not map_blocks(lambda block: rows[block] ** 2, 6, 2).requires_grad


def test_an_error_in_a_block_is_the_callers(n_threads: int):
    def fail(block: slice) -> Tensor:
        raise ValueError(f"block at {block.start}")

    with pytest.raises(ValueError, match="block at 0"):
        map_blocks(fail, 4, 2)
    assert threads_here_and_later() == (n_threads, n_threads)
