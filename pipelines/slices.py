"""Training data: slices of simulated heads, made anew in every epoch and never stored."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from kseg.transforms.grid import AcquisitionGrid, place_grid
from kseg.transforms.head import CrispHead, head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map
from kseg.transforms.seeds import item_generator, item_seed

EpochItem = tuple[int, int]


class SimulatedSlices(Dataset[dict[Hashable, Any]]):
    """Slices of heads, each simulated by random transforms that are seeded by the item.

    An item is addressed by (epoch, index): it depends on the seed, the epoch, the head and the slice, and on
    nothing else, so neither on workers nor on their order nor on a restart in between.

    Args:
        data: one mapping per head, with the path of its label map under `label_map`.
        transform: makes the network's input of `head`, `placed` (the grid on it), `slice`, `subject` and `epoch`.
        codes: code table of the label maps.
        seed: seed of the run.
        slices: slice indices on the acquisition grid that are used of every head.

    Raises:
        InputError: a label map that cannot be used.
        ValueError: no heads, two of one name, or label codes that the table does not know.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, str]],
        transform: Compose,
        codes: str = "freesurfer",
        seed: int = 0,
        slices: Sequence[int] = tuple(range(57)),
    ) -> None:
        if not data:
            raise ValueError("simulated slices: expected at least one label map, received none")
        self.data = data
        self.transform = transform
        self.seed = seed
        self.slices = slices
        paths = [Path(item["label_map"]) for item in data]
        self.subjects = [path.name.split(".")[0] for path in paths]
        if len(set(self.subjects)) < len(paths):
            twice = sorted({name for name in self.subjects if self.subjects.count(name) > 1})
            raise ValueError(
                f"simulated slices: expected one label map per subject, received more of {', '.join(twice)}"
            )
        table = load_label_codes(codes)
        self.heads: list[CrispHead] = [
            head_from_labels(read_label_map(path), table) for path in tqdm(paths, desc="heads", disable=None)
        ]
        self.grids = [
            place_grid(AcquisitionGrid(), head.membership("gm") > 0, head.spacing_mm) for head in self.heads
        ]

    def __len__(self) -> int:
        """Items of one epoch."""
        return len(self.heads) * len(self.slices)

    def __getitem__(self, item: EpochItem) -> dict[Hashable, Any]:
        """Simulate the item (epoch, index)."""
        epoch, index = item
        which, position = divmod(index, len(self.slices))
        subject, slice_index = self.subjects[which], self.slices[position]
        self.transform.set_random_state(seed=item_seed(self.seed, subject, slice_index, epoch) % 2**32)
        head = {"head": self.heads[which], "placed": self.grids[which]}
        simulated = self.transform({**head, "slice": slice_index, "subject": subject, "epoch": epoch})
        assert isinstance(simulated, dict)
        return simulated


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
