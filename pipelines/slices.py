"""Training data: slices of simulated heads, made anew in every epoch and never stored."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Compose
from torch.utils.data import Sampler

from kseg.pipelines.simulated_heads import EpochItem, SimulatedHeads
from kseg.transforms.grid import AcquisitionGrid, place_grid
from kseg.transforms.head import CrispHead
from kseg.transforms.label_codes import LabelCodes
from kseg.transforms.nifti import NiftiVolume
from kseg.transforms.seeds import item_generator


class SimulatedSlices(SimulatedHeads):
    """Slices of heads, each simulated by random transforms; see `SimulatedHeads`.

    Args:
        data: one mapping per head, with the path of its label map under `label_map`.
        transform: makes the network's input of `head`, `placed` (the grid on it), `slice`, `subject` and `epoch`.
        codes: code table of the label maps.
        seed: seed of the run.
        slices: slice indices on the acquisition grid that are used of every head.

    Raises:
        InputError: a label map that cannot be used, or of whose head no items can be made.
        ValueError: no heads, or two of one name.
    """

    name = "simulated slices"

    def __init__(
        self,
        data: Sequence[Mapping[str, str]],
        transform: Compose,
        codes: str = "freesurfer",
        seed: int = 0,
        slices: Sequence[int] = tuple(range(57)),
    ) -> None:
        super().__init__(data, transform, codes, seed, slices)

    def describe(self, head: CrispHead, volume: NiftiVolume, codes: LabelCodes) -> dict[str, Any]:
        """The grid on a head."""
        return {"placed": place_grid(AcquisitionGrid(), head.membership("gm") > 0, head.spacing_mm)}

    def describe_part(self, subject: str, part: int) -> dict[str, Any]:
        """Which slice it is."""
        return {"slice": part}


class EpochSampler(Sampler[EpochItem]):
    """Order of the items of an epoch, the share of one process.

    Args:
        n_items: items of the data set.
        seed: seed of the order.
        shuffle: a new order each epoch; otherwise the order of the data set, and every epoch is epoch 0.
        rank: this process.
        world_size: number of processes.
        repeat: every process gets the same number of items, rounded up by repeating the first; otherwise each item
            belongs to one process.

    Raises:
        ValueError: nothing may be repeated and there are fewer items than processes: one would wait for ever.

    Attributes:
        epoch: the epoch that the next iteration belongs to, set before it starts.
        start: how many items of this process the next iteration leaves out, those seen before an interruption.
    """

    def __init__(
        self,
        n_items: int,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        repeat: bool = True,
    ) -> None:
        if n_items < world_size and not repeat:
            raise ValueError(
                f"epoch: expected at least one item for each of {world_size} processes, received {n_items}"
            )
        self.n_items = n_items
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.repeat = repeat
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        """Items of one process."""
        if self.repeat:
            return -(-self.n_items // self.world_size)
        return len(range(self.rank, self.n_items, self.world_size))

    def __iter__(self) -> Iterator[EpochItem]:
        """Yield (epoch, index)."""
        epoch = self.epoch if self.shuffle else 0
        order = torch.arange(self.n_items)
        if self.shuffle:
            order = torch.randperm(self.n_items, generator=item_generator(self.seed, "order", epoch))
        # As often as there are processes: enough to round up for, even where items are fewer than processes.
        repeated = order.repeat(self.world_size)[self.rank :: self.world_size]
        for index in repeated[: len(self)].tolist()[self.start :]:
            yield epoch, index
