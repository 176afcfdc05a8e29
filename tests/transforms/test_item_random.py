from collections.abc import Mapping
from typing import Any

import pytest
import torch
from monai.data.utils import set_rnd
from monai.transforms import Compose

from kseg.transforms.item_random import ItemRandomTransform
from kseg.transforms.seeds import item_generator, item_seed


class Drawd(ItemRandomTransform):
    """Add the random number of the whole item and those of its first two parts."""

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        generator_of = self.item_generators(data, "draw")
        return {**data, "drawn": [first(generator_of()), first(generator_of(0)), first(generator_of(1))]}


def first(generator: torch.Generator) -> float:
    return torch.rand(1, generator=generator).item()


ITEM = {"image": 0, "subject": "head_01", "slice": 7}


def test_draws_of_a_named_item_are_those_of_its_seed():
    drawn = Drawd("image", seed=5, item_key="subject")(ITEM)["drawn"]
    assert drawn[0] == first(item_generator(5, "draw", "head_01"))
    assert drawn[1:] == [first(item_generator(5, "draw", "head_01", part)) for part in (0, 1)]
    assert len(set(drawn)) == 3


def test_a_part_that_is_an_item_of_its_own_has_the_same_generator():
    whole = Drawd("image", item_key="subject")(ITEM)["drawn"]
    part = Drawd("image", item_key=["subject", "slice"])({**ITEM, "slice": 1})["drawn"]
    assert part[0] == whole[2]


def test_draws_of_a_named_item_follow_neither_state_nor_worker_nor_order():
    transform = Compose([Drawd("image", item_key="subject")])
    expected = transform(ITEM)["drawn"]
    transform({**ITEM, "subject": "head_02"})
    assert transform(ITEM)["drawn"] == expected
    transform.set_random_state(seed=3)
    assert transform(ITEM)["drawn"] == expected
    set_rnd(transform, seed=1234)
    assert transform(ITEM)["drawn"] == expected


@pytest.mark.parametrize("change", [{"seed": 1}, {"item_key": ["subject", "slice"]}])
def test_another_seed_or_name_draws_something_else(change: dict[str, Any]):
    transform = Drawd("image", **{"seed": 0, "item_key": "subject", **change})
    assert transform(ITEM)["drawn"] != Drawd("image", item_key="subject")(ITEM)["drawn"]


def test_without_a_name_draws_follow_the_random_state_of_monai():
    transform = Compose([Drawd("image"), Drawd("image")])

    def two_calls(seed: int) -> list[list[float]]:
        transform.set_random_state(seed=seed)
        return [transform(ITEM)["drawn"], transform(ITEM)["drawn"]]

    assert two_calls(3) == two_calls(3)
    assert two_calls(3) != two_calls(4)
    assert two_calls(3)[0] != two_calls(3)[1]


def test_the_state_can_be_set_from_the_item():
    transform = Compose([Drawd("image")])

    def drawn(subject: str, epoch: int) -> list[float]:
        transform.set_random_state(seed=item_seed(0, subject, epoch) % 2**32)
        return transform(ITEM)["drawn"]

    expected = drawn("head_01", 0)
    assert drawn("head_01", 1) != expected
    assert drawn("head_01", 0) == expected


def test_an_item_without_its_name_is_refused():
    with pytest.raises(
        KeyError, match=r"Drawd: expected the item's name under \['subject'\], received keys \['image'\]"
    ):
        Drawd("image", item_key=["subject"])({"image": 0})
