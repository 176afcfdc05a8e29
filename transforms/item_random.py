"""Random MONAI transforms whose draws can belong to an item instead of to the order of calls."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import ensure_tuple

from kseg.transforms.seeds import item_generator


class ItemRandomTransform(RandomizableTransform, MapTransform):
    """Base of the random dictionary transforms.

    With an item key, draws depend on the seed, on what the item holds under that key, and on nothing else:
    neither on `set_random_state` nor on workers, order or epoch (unless the epoch is one of the keys).
    Without one, draws come from MONAI's random state: anew in every call, reproducible through
    `set_random_state`, for instance `Compose.set_random_state(seed=item_seed(...) % 2**32)` before each item.

    Args:
        keys: what the transform works on.
        seed: seed of the run; without meaning unless there is an item key.
        item_key: one or several keys whose values, texts or integers, name the item.
        allow_missing_keys: let items without a key pass.
    """

    def __init__(
        self,
        keys: KeysCollection,
        seed: int = 0,
        item_key: KeysCollection | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self)
        self.seed = seed
        self.item_keys: tuple[Hashable, ...] = () if item_key is None else ensure_tuple(item_key)

    def item_generators(self, item: Mapping[Hashable, Any], purpose: str) -> Callable[..., torch.Generator]:
        """Settle the random draws of one call.

        Args:
            item: the item of the call.
            purpose: what is drawn, so that masks and noise of one item are independent.

        Returns:
            A function that makes the generator of a part of the item, such as a slice, from the part's
            index. A slice that is an item of its own, named by (subject, slice), has the generator that it
            has as that slice of the subject's volume.

        Raises:
            KeyError: the item has no such name.
        """
        if not self.item_keys:
            drawn = int(self.R.randint(2**32, dtype=np.uint64))
            return partial(item_generator, drawn, purpose)
        missing = [key for key in self.item_keys if key not in item]
        if missing:
            name = type(self).__name__
            raise KeyError(f"{name}: expected the item's name under {missing}, received keys {list(item)}")
        return partial(item_generator, self.seed, purpose, *(item[key] for key in self.item_keys))
