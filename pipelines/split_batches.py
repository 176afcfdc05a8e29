"""Several steps from one patient: batches of crops that are cut into smaller ones."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

Batch = Mapping[str, Any]


class SplitBatches:
    """Cut each batch of a loader into batches of the size of a step.

    To simulate a patient takes longer than a step on a few of its crops, so that several steps are made of each.

    Args:
        loader: gives batches of all crops of its items.
        crops: how many crops an item has.
        batch_size: crops of a step.

    Attributes:
        n_parts: steps of each batch of the loader.
        skip: steps of the first batch that the next pass leaves out, for a training that goes on; 0 afterwards.

    Raises:
        ValueError: crops of a batch of the loader that do not fill whole steps.
    """

    def __init__(self, loader: DataLoader[Batch], crops: int, batch_size: int) -> None:
        together = crops * (loader.batch_size or 1)
        if together % batch_size or (crops > batch_size and together > crops):
            raise ValueError(
                f"training: expected as many crops of a patient as fill steps of {batch_size}, or a number that "
                f"divides it, received {crops}"
            )
        self.loader = loader
        self.n_parts = together // batch_size
        self.batch_size = batch_size
        self.skip = 0

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.loader) * self.n_parts

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches of each patient one after the other."""
        skip, self.skip = self.skip, 0
        for batch in self.loader:
            n_crops = len(next(iter(batch.values())))
            for start in range(skip * self.batch_size, n_crops, self.batch_size):
                yield {key: value[start : start + self.batch_size] for key, value in batch.items()}
            skip = 0
