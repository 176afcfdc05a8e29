"""Steps from one patient hold its crops in order, and a training that goes on misses none."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from kseg.pipelines.split_batches import SplitBatches

pytestmark = pytest.mark.usefixtures("seeded")


class Patients(Dataset[dict[str, object]]):
    """Patients of so many crops; the number of a crop tells both."""

    def __init__(self, n_patients: int, crops: int) -> None:
        self.n_patients, self.crops = n_patients, crops

    def __len__(self) -> int:
        return self.n_patients

    def __getitem__(self, index: int) -> list[dict[str, object]]:
        return [
            {"image": torch.tensor([10 * index + crop]), "subject": f"{index}"} for crop in range(self.crops)
        ]


def collate(items: list[list[dict[str, object]]]) -> dict[str, object]:
    crops = [crop for item in items for crop in item]
    return {
        "image": torch.stack([crop["image"] for crop in crops]),
        "subject": [crop["subject"] for crop in crops],
    }


def split(crops: int, batch_size: int, patients: int = 1) -> SplitBatches:
    loader = DataLoader(Patients(3, crops), batch_size=patients, collate_fn=collate)
    return SplitBatches(loader, crops, batch_size)


def steps(batches: SplitBatches) -> list[list[int]]:
    return [batch["image"][:, 0].tolist() for batch in batches]


def test_each_patient_makes_several_steps() -> None:
    batches = split(crops=4, batch_size=2)
    assert steps(batches) == [[0, 1], [2, 3], [10, 11], [12, 13], [20, 21], [22, 23]]
    assert len(batches) == 6
    assert [batch["subject"] for batch in batches][2:4] == [["1", "1"], ["1", "1"]]


def test_a_step_may_hold_several_patients() -> None:
    batches = split(crops=2, batch_size=4, patients=2)
    assert steps(batches) == [[0, 1, 10, 11], [20, 21]]
    assert len(batches) == 2


def test_a_pass_that_goes_on_leaves_out_what_was_done_and_the_next_is_whole() -> None:
    batches = split(crops=6, batch_size=2)
    whole = steps(batches)
    batches.skip = 2
    assert steps(batches) == whole[2:]
    assert steps(batches) == whole


@pytest.mark.parametrize(("crops", "batch_size"), [(6, 4), (3, 4)])
def test_crops_that_fill_no_whole_steps_are_refused(crops: int, batch_size: int) -> None:
    expected = f"expected as many crops of a patient as fill steps of {batch_size}, or .*, received {crops}"
    with pytest.raises(ValueError, match=expected):
        split(crops, batch_size)


def test_several_steps_are_made_of_one_patient_at_a_time() -> None:
    with pytest.raises(ValueError, match="or a number that divides it, received 4"):
        split(crops=4, batch_size=2, patients=2)
