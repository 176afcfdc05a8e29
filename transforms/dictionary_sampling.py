"""MONAI dictionary transforms that under-sample k-space: one per mask function.

All k-space of an item gets the same mask, which is stored beside it.
"""

from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.config import KeysCollection
from torch import Tensor

from kseg.transforms.dictionary import Item, kspace_entry, require_fully_sampled
from kseg.transforms.item_random import ItemRandomTransform
from kseg.transforms.sampling import equispaced_lines, gaussian_lines, line_count, poisson_disc, uniform_lines


@dataclass(frozen=True)
class MaskDraw:
    """How often a mask is drawn, from what, and where it is stored.

    Attributes:
        per: one mask for all slices of a volume (`volume`) or one for each (`slice`).
        mask_key: where the mask is stored, bool: lines `(x,)` or, of each slice of a volume, `(slice, x)`;
            points `(y, x)` of a slice or `(slice, y, x)` of a volume.
        seed: seed of the run, see `ItemRandomTransform`.
        item_key: names the item, see `ItemRandomTransform`; without it masks follow MONAI's random state.

    Raises:
        ValueError: `per` is something else.
    """

    per: Literal["volume", "slice"] = "volume"
    mask_key: str = "mask"
    seed: int = 0
    item_key: KeysCollection | None = None

    def __post_init__(self) -> None:
        if self.per not in ("volume", "slice"):
            raise ValueError(f"mask per: expected 'volume' or 'slice', received {self.per!r}")


class SampleKSpaced(ItemRandomTransform):
    """Base of the transforms that under-sample: set k-space outside a mask to zero, in place.

    Args:
        keys: fully sampled k-space, `(slice, coil, y, x)` or `(coil, y, x)`; all on one grid.
        fraction: sampled share.
        n_center: size of the centre that is always sampled and counts.
        draw: how often the mask is drawn, from what, and where it is stored.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: in a call, k-space of different grids, or an item that is under-sampled already.
    """

    def __init__(
        self,
        keys: KeysCollection,
        fraction: float = 0.3,
        n_center: int = 16,
        draw: MaskDraw | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        self.draw = draw or MaskDraw()
        super().__init__(keys, self.draw.seed, self.draw.item_key, allow_missing_keys)
        self.fraction = fraction
        self.n_center = n_center

    @abstractmethod
    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw the mask of one slice.

        Args:
            shape: (y, x) of the slice.
            generator: source of randomness.

        Returns:
            Bool `(x,)` for lines or `(y, x)` for points.
        """

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with under-sampled k-space and its mask."""
        item = dict(data)
        volumes = {key: kspace_entry(item, key) for key in self.key_iterator(item)}
        if not volumes:
            return item
        require_fully_sampled(item, self.draw.mask_key)
        mask = self._masks(item, _common_grid(volumes))
        for key, kspace in volumes.items():
            sampled = _along_coils(mask, kspace)
            item[key] = torch.where(sampled, kspace, torch.zeros_like(kspace))
        item[self.draw.mask_key] = mask
        return item

    def _masks(self, item: Item, grid: tuple[int, ...]) -> Tensor:
        generator_of = self.item_generators(item, "mask")
        shape = grid[-2], grid[-1]
        if len(grid) == 3 and self.draw.per == "slice":
            return torch.stack([self.mask(shape, generator_of(index)) for index in range(grid[0])])
        mask = self.mask(shape, generator_of())
        return mask if mask.ndim == 1 else mask.expand(grid)


class GaussianLinesd(SampleKSpaced):
    """Sample lines that are dense in the centre: `gaussian_lines`.

    Args:
        keys: fully sampled k-space, `(slice, coil, y, x)` or `(coil, y, x)`; all on one grid.
        fraction: sampled share, rounded to whole lines by `line_count`.
        n_center: central lines that are always sampled and count.
        width: standard deviation of the density relative to the number of lines.
        floor: uniform part of the density, relative to the peak of the Gaussian.
        draw: how often the mask is drawn, from what, and where it is stored.
        allow_missing_keys: let items without a key pass.

    Example:
        >>> sample = GaussianLinesd("kspace", 0.3, 16, draw=MaskDraw(seed=1, item_key="subject"))
        >>> item = sample({"kspace": torch.ones(2, 1, 8, 180, dtype=torch.complex64), "subject": "head_01"})
        >>> int(item["mask"].sum()), item["kspace"].real.sum() / (2 * 8)
        (54, tensor(54.))
    """

    def __init__(
        self,
        keys: KeysCollection,
        fraction: float = 0.3,
        n_center: int = 16,
        width: float = 0.1,
        floor: float = 0.15,
        draw: MaskDraw | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, fraction, n_center, draw, allow_missing_keys)
        self.width = width
        self.floor = floor

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw the lines of one slice."""
        count = line_count(shape[1], self.fraction)
        return gaussian_lines(shape[1], count, self.n_center, generator, width=self.width, floor=self.floor)


class UniformLinesd(SampleKSpaced):
    """Sample lines with equal probability outside the centre: `uniform_lines`.

    Args:
        keys: fully sampled k-space, `(slice, coil, y, x)` or `(coil, y, x)`; all on one grid.
        fraction: sampled share, rounded to whole lines by `line_count`.
        n_center: central lines that are always sampled and count.
        draw: how often the mask is drawn, from what, and where it is stored.
        allow_missing_keys: let items without a key pass.
    """

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw the lines of one slice."""
        return uniform_lines(shape[1], line_count(shape[1], self.fraction), self.n_center, generator)


class EquispacedLinesd(SampleKSpaced):
    """Sample lines at equal distances outside the centre: `equispaced_lines`.

    Args:
        keys: fully sampled k-space, `(slice, coil, y, x)` or `(coil, y, x)`; all on one grid.
        fraction: sampled share, rounded to whole lines by `line_count`.
        n_center: central lines that are always sampled and count.
        offset: cyclic shift of the outer lines; drawn if not given.
        draw: how often the mask is drawn, from what, and where it is stored.
        allow_missing_keys: let items without a key pass.
    """

    def __init__(
        self,
        keys: KeysCollection,
        fraction: float = 0.3,
        n_center: int = 16,
        offset: int | None = None,
        draw: MaskDraw | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, fraction, n_center, draw, allow_missing_keys)
        self.offset = offset

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Place the lines of one slice."""
        offset = self.offset
        if offset is None:
            n_outer = max(1, shape[1] - self.n_center)
            offset = int(torch.randint(n_outer, (1,), generator=generator))
        return equispaced_lines(shape[1], line_count(shape[1], self.fraction), self.n_center, offset)


class PoissonDiscd(SampleKSpaced):
    """Sample points that keep their distance: `poisson_disc`.

    Args:
        keys: fully sampled k-space, `(slice, coil, y, x)` or `(coil, y, x)`; all on one grid.
        fraction: sampled share, rounded to whole points as `line_count` does.
        n_center: side of the full central square.
        draw: how often the mask is drawn, from what, and where it is stored.
        allow_missing_keys: let items without a key pass.
    """

    def mask(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw the points of one slice."""
        return poisson_disc(shape, line_count(shape[0] * shape[1], self.fraction), self.n_center, generator)


def _common_grid(volumes: dict[Hashable, Tensor]) -> tuple[int, ...]:
    """The (slice, y, x) or (y, x) of all k-space of an item."""
    grids = {key: (*kspace.shape[:-3], *kspace.shape[-2:]) for key, kspace in volumes.items()}
    first = next(iter(grids.values()))
    if any(grid != first for grid in grids.values()):
        received = ", ".join(f"{key} {grid}" for key, grid in grids.items())
        raise ValueError(
            f"one mask for all keys: expected k-space on one (slice, y, x) grid, received {received}"
        )
    return first


def _along_coils(mask: Tensor, kspace: Tensor) -> Tensor:
    """The mask where k-space lies, with the axes that broadcasting needs."""
    mask = mask.to(kspace.device)
    if kspace.ndim == 3 or mask.ndim == 1:
        return mask
    return mask[:, None, None] if mask.ndim == 2 else mask[:, None]
