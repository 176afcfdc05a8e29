import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.networks.convlstm import ConvLSTMCell


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_one_voxel_follows_the_equations(seeded: None):
    cell = ConvLSTMCell(3, 2)
    weight = cell.gates.weight[:, :, 1, 1].detach().double().numpy()
    bias = cell.gates.bias.detach().double().numpy()
    x, hidden, memory = noise(1, 3, 1, 1), noise(1, 2, 1, 1, seed=1), noise(1, 2, 1, 1, seed=2)
    received = [value.flatten().detach().numpy() for value in cell(x, (hidden, memory))]
    gates = weight @ np.concatenate([x.flatten().numpy(), hidden.flatten().numpy()]) + bias
    entering, kept, shown, candidate = gates.reshape(4, 2)
    new_memory = sigmoid(kept) * memory.flatten().numpy() + sigmoid(entering) * np.tanh(candidate)
    np.testing.assert_allclose(received[1], new_memory, rtol=1e-5)
    np.testing.assert_allclose(received[0], sigmoid(shown) * np.tanh(new_memory), rtol=1e-5)


def test_no_state_is_a_state_of_zeros(seeded: None):
    cell, x = ConvLSTMCell(3, 4), noise(2, 3, 5, 6)
    zeros = torch.zeros(2, 4, 5, 6)
    for first, second in zip(cell(x, None), cell(x, (zeros, zeros)), strict=True):
        assert torch.equal(first, second)


def test_the_forget_gate_starts_open(seeded: None):
    bias = ConvLSTMCell(3, 4).gates.bias
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


@pytest.mark.parametrize("part", [0, 1])
def test_both_parts_of_the_state_matter(part: int, seeded: None):
    cell, x = ConvLSTMCell(3, 4), noise(1, 3, 5, 6)
    state = cell(x, None)
    assert all(value.abs().min() > 0 for value in state)
    without = [*state]
    without[part] = torch.zeros_like(without[part])
    assert not torch.allclose(cell(x, state)[0], cell(x, (without[0], without[1]))[0], atol=1e-4)
