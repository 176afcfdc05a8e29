"""The slices on either side of a slice: where they are, and how they enter a network."""

import torch
from torch import Tensor

from kseg.transforms.channels import network_input


def neighbour_slices(index: int, n_slices: int, n_neighbours: int) -> list[int]:
    """List the neighbours of a slice; beyond the ends of the volume its last slice stands for them.

    Args:
        index: the slice.
        n_slices: slices of the volume.
        n_neighbours: how many on each side, the nearest and those behind them.

    Returns:
        Their indices, ascending, the slice itself left out unless it stands for one.

    Example:
        >>> neighbour_slices(5, 57, 1), neighbour_slices(0, 57, 2)
        ([4, 6], [0, 0, 1, 2])
    """
    offsets = [offset for offset in range(-n_neighbours, n_neighbours + 1) if offset]
    return [min(max(index + offset, 0), n_slices - 1) for offset in offsets]


def slices_input(kspace: Tensor, mask: Tensor, slices: list[int], n_neighbours: int = 0) -> Tensor:
    """Make the network's input of some slices of a volume, each with its neighbours.

    Args:
        kspace: `(slice, coil, y, x)`, complex; what it holds outside the mask is ignored.
        mask: bool, `(slice, 1, x)` or `(slice, y, x)`, True where sampled.
        slices: which slices.
        n_neighbours: how many on each side, see `neighbour_slices`.

    Returns:
        float32 `(batch, 2 coil + 1 + 2 neighbours * 2 coil, y, x)`: what `network_input` makes of the slice, then
        the real and the imaginary parts of the coils of each neighbour, the mask applied, without the mask.

    Example:
        >>> kspace = torch.tensor([1 + 2j, 3 + 4j, 5 + 6j]).reshape(3, 1, 1, 1)
        >>> slices_input(kspace, torch.ones(3, 1, 1, dtype=torch.bool), [0, 1], 1).flatten(1)
        tensor([[1., 2., 1., 1., 2., 3., 4.],
                [3., 4., 1., 1., 2., 5., 6.]])
    """
    around = [neighbour_slices(index, len(kspace), n_neighbours) for index in slices]
    own = network_input(kspace[slices], mask[slices])
    others = [
        network_input(kspace[list(each)], mask[list(each)])[:, :-1] for each in zip(*around, strict=True)
    ]
    return torch.cat([own, *others], dim=1)
