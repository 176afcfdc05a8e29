import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from kseg.transforms.blocks import Memory, fill_blocks


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
@pytest.mark.parametrize("parallel", [True, False])
def test_every_row_is_filled_from_its_block(n_threads: int, step: int, parallel: bool):
    source = torch.arange(14.0).reshape(7, 2)
    rows = torch.full((7, 2), torch.nan)
    fill_blocks(rows, lambda: lambda block: 2 * source[block], step, parallel=parallel)
    assert torch.equal(rows, 2 * source)


def test_blocks_have_the_size_asked_for(n_threads: int):
    sizes: list[int] = []

    def size(block: slice) -> Tensor:
        sizes.append(block.stop - block.start)
        return torch.zeros(sizes[-1])

    fill_blocks(torch.empty(8), lambda: size, 3)
    assert sorted(sizes) == [2, 3, 3]


def test_every_block_has_one_thread_and_the_number_of_threads_stays(n_threads: int):
    inside = torch.zeros(4)
    fill_blocks(inside, lambda: lambda block: torch.tensor([float(torch.get_num_threads())]), 1)
    assert inside.tolist() == [1.0] * 4
    assert threads_here_and_later() == (n_threads, n_threads)


def test_one_after_the_other_records_gradients(n_threads: int):
    source = torch.arange(6.0).requires_grad_()
    rows = torch.empty(6)
    fill_blocks(rows, lambda: lambda block: source[block] ** 2, 2, parallel=False)
    (gradient,) = torch.autograd.grad(rows.sum(), source)
    assert torch.equal(gradient, 2 * source.detach())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_side_by_side_works_where_no_gradients_are_recorded(n_threads: int, mode: type[torch.no_grad]):
    source = torch.arange(6.0).requires_grad_()
    with mode():
        rows = torch.empty(6)
        fill_blocks(rows, lambda: lambda block: source[block] ** 2, 2)
    assert not rows.requires_grad
    assert torch.equal(rows, source.detach() ** 2)


def test_an_error_in_a_block_is_the_callers(n_threads: int):
    def fail(block: slice) -> Tensor:
        raise ValueError(f"block at {block.start}")

    with pytest.raises(ValueError, match="block at 0"):
        fill_blocks(torch.empty(4), lambda: fail, 2)
    assert threads_here_and_later() == (n_threads, n_threads)


def test_every_thread_has_a_worker_of_its_own(n_threads: int):
    made: list[int] = []

    def new_worker() -> Callable[[slice], Tensor]:
        maker = threading.get_ident()
        made.append(maker)
        return lambda block: torch.tensor([float(threading.get_ident() == maker)])

    fill_blocks(rows := torch.zeros(20), new_worker, 1)
    assert rows.tolist() == [1.0] * 20
    assert 1 <= len(made) <= n_threads


def test_memory_is_used_again_if_it_is_large_enough():
    memory = Memory()
    first = memory.take("image", (2, 3), torch.float32).fill_(1.0)
    smaller, other = memory.take("image", (4,), torch.float32), memory.take("maps", (4,), torch.float32)
    assert smaller.data_ptr() == first.data_ptr() != other.data_ptr()
    larger = memory.take("image", (7,), torch.float32)
    assert larger.shape == (7,)
    assert larger.data_ptr() != first.data_ptr()
    assert memory.take("image", (1,), torch.complex64).dtype == torch.complex64
