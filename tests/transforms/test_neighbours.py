"""Which slices lie beside a slice, and where their channels stand."""

import pytest
import torch

from kseg.transforms.channels import network_input
from kseg.transforms.neighbours import neighbour_slices, slices_input

N_SLICES = 5


@pytest.mark.parametrize(
    ("index", "expected"), [(0, [0, 0, 1, 2]), (1, [0, 0, 2, 3]), (2, [0, 1, 3, 4]), (4, [2, 3, 4, 4])]
)
def test_the_last_slice_stands_for_those_beyond(index: int, expected: list[int]) -> None:
    assert neighbour_slices(index, N_SLICES, 2) == expected
    assert neighbour_slices(index, N_SLICES, 0) == []
    assert neighbour_slices(0, 1, 2) == [0, 0, 0, 0]


@pytest.mark.parametrize("n_neighbours", [0, 1, 2])
@pytest.mark.parametrize("n_coils", [1, 3])
def test_channels_are_those_of_the_slice_then_those_of_each_neighbour(
    n_neighbours: int, n_coils: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(N_SLICES, n_coils, 6, 4, dtype=torch.complex64, generator=generator)
    mask = torch.rand(N_SLICES, 6, 4, generator=generator) < 0.6
    each = [network_input(kspace[index : index + 1], mask[index])[0] for index in range(N_SLICES)]
    slices = [4, 0, 2]
    received = slices_input(kspace, mask, slices, n_neighbours)
    for item, index in zip(received, slices, strict=True):
        around = [each[other][:-1] for other in neighbour_slices(index, N_SLICES, n_neighbours)]
        assert torch.equal(item, torch.cat([each[index], *around]))


def test_masks_of_lines_are_each_slices_own() -> None:
    kspace = torch.ones(3, 1, 2, 4, dtype=torch.complex64)
    lines = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    received = slices_input(kspace, lines[:, None], [1], 1)[0]
    assert torch.equal(received[2], lines[1].float().expand(2, 4))
    for channel, line in ((0, 1), (3, 0), (5, 2)):
        assert torch.equal(received[channel], lines[line].float().expand(2, 4))
    # The wrong twin: one mask for all of them.
    assert not torch.equal(received[3], received[2])
