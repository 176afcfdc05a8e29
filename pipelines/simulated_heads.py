"""Training data of simulated heads, made anew in every epoch and never stored."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms import Compose
from torch.utils.data import Dataset
from tqdm import tqdm

from kseg.transforms.errors import InputError
from kseg.transforms.head import CrispHead, head_from_labels
from kseg.transforms.label_codes import LabelCodes, load_label_codes
from kseg.transforms.nifti import NiftiVolume, read_label_map
from kseg.transforms.seeds import item_seed

EpochItem = tuple[int, int]


class SimulatedHeads(Dataset[Any], ABC):
    """Parts of heads, each simulated by random transforms that are seeded by the item.

    An item is addressed by (epoch, index): it depends on the seed, the epoch, the head and the part, and on nothing
    else, so neither on workers nor on their order nor on a restart in between.

    Args:
        data: one mapping per head, with the path of its label map under `label_map`.
        transform: makes an item of `head`, `subject`, `epoch` and what the data set adds.
        codes: code table of the label maps.
        seed: seed of the run.
        parts: what items are made of every head; each one's number is part of its name.

    Raises:
        InputError: a label map that cannot be used, or of whose head no items can be made.
        ValueError: no heads, or two of one name.
    """

    name = "simulated heads"
    """What messages call the data set."""

    def __init__(
        self,
        data: Sequence[Mapping[str, str]],
        transform: Compose,
        codes: str,
        seed: int,
        parts: Sequence[int],
    ) -> None:
        if not data:
            raise ValueError(f"{self.name}: expected at least one label map, received none")
        self.data = data
        self.transform = transform
        self.seed = seed
        self.parts = parts
        paths = [Path(item["label_map"]) for item in data]
        self.subjects = [path.name.split(".")[0] for path in paths]
        if len(set(self.subjects)) < len(paths):
            twice = sorted({name for name in self.subjects if self.subjects.count(name) > 1})
            raise ValueError(
                f"{self.name}: expected one label map per subject, received more of {', '.join(twice)}"
            )
        table = load_label_codes(codes)
        self.anatomy = [
            self._read(path, read_label_map(path), table) for path in tqdm(paths, desc="heads", disable=None)
        ]

    @abstractmethod
    def describe(self, head: CrispHead, volume: NiftiVolume, codes: LabelCodes) -> dict[str, Any]:
        """What the transform gets of a head besides itself, found once.

        Args:
            head: the head.
            volume: its label map.
            codes: what the values of the map mean.
        """

    def describe_part(self, subject: str, part: int) -> dict[str, Any]:
        """What the transform gets of a part of a head; over what it gets of the head."""
        return {}

    def __len__(self) -> int:
        """Items of one epoch."""
        return len(self.anatomy) * len(self.parts)

    def __getitem__(self, item: EpochItem) -> Any:
        """Simulate the item (epoch, index)."""
        epoch, index = item
        which, position = divmod(index, len(self.parts))
        subject, part = self.subjects[which], self.parts[position]
        self.transform.set_random_state(seed=item_seed(self.seed, subject, part, epoch) % 2**32)
        of_head = {**self.anatomy[which], "subject": subject, "epoch": epoch}
        return self.transform({**of_head, **self.describe_part(subject, part)})

    def _read(self, path: Path, volume: NiftiVolume, codes: LabelCodes) -> dict[str, Any]:
        try:
            head = head_from_labels(volume, codes)
            return {"head": head, **self.describe(head, volume, codes)}
        except ValueError as error:
            raise InputError(path, self.name, "a head that items can be made of", str(error)) from error
