from pathlib import Path
from typing import Any

import pytest
from monai.transforms import Compose, Randomizable, Transform

from kseg.pipelines.simulated_heads import SimulatedHeads
from kseg.transforms.head import CrispHead
from kseg.transforms.label_codes import LabelCodes
from kseg.transforms.nifti import NiftiVolume


class Draw(Randomizable, Transform):
    """Draws a number; tells what it was given."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "drawn": float(self.R.rand())}


class Halves(SimulatedHeads):
    """Two parts of each head."""

    name = "halves"

    def describe(self, head: CrispHead, volume: NiftiVolume, codes: LabelCodes) -> dict[str, Any]:
        return {"described": (head.indices.shape, volume.array.shape, codes.name)}

    def describe_part(self, subject: str, part: int) -> dict[str, Any]:
        return {"half": part, "named": f"{subject}/{part}"}


def halves(heads: list[Path], seed: int = 0, parts: tuple[int, ...] = (5, 7)) -> Halves:
    data = [{"label_map": str(path)} for path in heads]
    return Halves(data, Compose([Draw()]), "freesurfer", seed, parts)


def test_the_transform_gets_the_head_what_is_known_of_it_and_the_part(small_heads: list[Path]):
    data = halves(small_heads)
    assert len(data) == 4
    items = [data[2, index] for index in range(4)]
    assert [(item["subject"], item["half"]) for item in items] == [
        ("head_1", 5),
        ("head_1", 7),
        ("head_2", 5),
        ("head_2", 7),
    ]
    assert items[3]["named"] == "head_2/7"
    assert {item["epoch"] for item in items} == {2}
    assert items[0]["described"] == ((64, 72, 60), (60, 72, 64), "freesurfer")
    assert items[0]["head"] is data[0, 1]["head"]


def test_draws_depend_on_seed_subject_part_and_epoch_alone(small_heads: list[Path]):
    data = halves(small_heads)
    drawn = {item: data[item]["drawn"] for item in ((0, 0), (0, 1), (0, 2), (1, 0))}
    assert len(set(drawn.values())) == 4
    assert all(data[item]["drawn"] == drawn[item] for item in reversed(drawn))
    assert halves(small_heads, seed=1)[0, 0]["drawn"] != drawn[0, 0]
    # The same head and part elsewhere in the list.
    assert halves(small_heads[1:], parts=(5,))[0, 0]["drawn"] == drawn[0, 2]


def test_messages_name_the_data_set(small_heads: list[Path]):
    with pytest.raises(ValueError, match=r"^halves: expected at least one label map, received none$"):
        halves([])
    with pytest.raises(ValueError, match=r"^halves: expected one label map per subject, .* of head_2$"):
        halves([*small_heads, small_heads[1]])
