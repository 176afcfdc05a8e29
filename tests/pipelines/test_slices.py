import shutil
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.transforms import Compose, SelectItemsd
from torch.utils.data import DataLoader

from kseg.pipelines.slices import EpochSampler, SimulatedSlices
from kseg.transforms.deformation import DeformationStrength
from kseg.transforms.rand_scan import RandHeadSliced, RandLineCount, RandScanSliced
from kseg.transforms.rand_sequence import RandSequence

Item = dict[Hashable, Any]


def dataset(heads: list[Path], seed: int = 0) -> SimulatedSlices:
    transform = Compose([RandHeadSliced(), RandScanSliced(), SelectItemsd(["image", "label", "subject"])])
    return SimulatedSlices(
        [{"label_map": str(path)} for path in heads], transform, seed=seed, slices=(20, 30)
    )


@pytest.fixture(scope="module")
def slices(small_heads: list[Path]) -> SimulatedSlices:
    return dataset(small_heads)


def same(first: Item, second: Item) -> bool:
    return all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


def test_items_are_the_slices_of_each_head(slices: SimulatedSlices):
    assert len(slices) == 4
    items = [slices[0, index] for index in range(4)]
    assert [item["subject"] for item in items] == ["head_1", "head_1", "head_2", "head_2"]
    assert all(
        item["image"].shape == (3, 216, 180) and item["label"].shape == (1, 216, 180) for item in items
    )
    assert not any(same(items[a], items[b]) for a in range(4) for b in range(a))


def test_an_item_is_the_same_in_any_order(slices: SimulatedSlices):
    order = [(0, 0), (1, 2), (0, 3)]
    there = {item: slices[item] for item in order}
    back = {item: slices[item] for item in reversed(order)}
    assert all(same(there[item], back[item]) for item in order)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_item_is_the_same_in_any_worker(n_workers: int, slices: SimulatedSlices, seeded: None):
    sampler = EpochSampler(len(slices), seed=3)
    batches = DataLoader(slices, 2, sampler=sampler, num_workers=n_workers)
    expected = [slices[item] for item in sampler]
    received = [
        {key: value[index] for key, value in batch.items()} for batch in batches for index in range(2)
    ]
    assert all(same(a, b) for a, b in zip(received, expected, strict=True))


@pytest.mark.parametrize("n_workers", [0, 2])
def test_the_curriculum_follows_the_epoch_in_every_worker(
    n_workers: int, small_heads: list[Path], seeded: None
):
    lines = RandLineCount(0.3, other_probability=0.0, patience=2)
    simulate = Compose(
        [RandHeadSliced(DeformationStrength(0.0)), RandScanSliced(lines=lines), SelectItemsd(["image"])]
    )
    falling = SimulatedSlices([{"label_map": str(small_heads[0])}], simulate, slices=(20, 30, 40))
    sampler = EpochSampler(len(falling), seed=3)
    batches = DataLoader(falling, 1, sampler=sampler, num_workers=n_workers, persistent_workers=n_workers > 0)

    def n_lines(epoch: int, start: int = 0) -> list[int]:
        sampler.epoch, sampler.start = epoch, start
        return [int(batch["image"][0, 2, 0].sum()) for batch in batches]

    # 180 lines times 0.99, 0.99 (0.3 / 0.99)^(1 / 2) and 0.3; in any order, and where an epoch is taken up again.
    assert n_lines(2) == [54, 54, 54]
    assert n_lines(0) == [178, 178, 178]
    assert n_lines(1, start=1) == [98, 98]
    assert n_lines(7) == [54, 54, 54]


def test_contrasts_depend_on_the_item_alone(small_heads: list[Path]):
    scans = [RandSequence("spin_echo", (0.01, 0.1), (1.0, 5.0)), RandSequence("gradient_echo", (0.003, 0.01))]
    simulate = Compose(
        [
            RandHeadSliced(DeformationStrength(0.0)),
            RandScanSliced(scans=scans),
            SelectItemsd(["image", "label"]),
        ]
    )
    mixed = SimulatedSlices([{"label_map": str(small_heads[0])}], simulate, slices=(20, 30))
    there = {item: mixed[item] for item in ((0, 0), (0, 1), (1, 0))}
    assert all(same(mixed[item], there[item]) for item in reversed(there))
    assert not torch.equal(there[0, 0]["image"], there[1, 0]["image"])


def test_another_epoch_another_seed_or_another_name_is_another_item(
    slices: SimulatedSlices, small_heads: list[Path], tmp_path: Path
):
    item = slices[0, 0]
    assert not same(slices[1, 0], item)
    assert not same(dataset(small_heads[:1], seed=1)[0, 0], item)
    assert same(dataset(small_heads[:1])[0, 0], item)
    renamed = shutil.copy(small_heads[0], tmp_path / "other.nii.gz")
    assert not torch.equal(dataset([renamed])[0, 0]["image"], item["image"])


def test_no_heads_and_heads_of_one_name_are_refused(small_heads: list[Path], tmp_path: Path):
    with pytest.raises(ValueError, match="simulated slices: expected at least one label map, received none"):
        dataset([])
    twin = shutil.copy(small_heads[0], tmp_path / small_heads[0].name)
    with pytest.raises(
        ValueError, match="simulated slices: expected one label map per subject, received more of head_1"
    ):
        dataset([*small_heads, twin])


def drawn(sampler: EpochSampler, epoch: int, start: int = 0) -> list[tuple[int, int]]:
    sampler.epoch, sampler.start = epoch, start
    return list(sampler)


def test_an_epoch_is_an_order_of_all_items():
    sampler = EpochSampler(10, seed=1)
    first, second = drawn(sampler, 0), drawn(sampler, 1)
    assert sorted(first) == [(0, index) for index in range(10)]
    assert sorted(second) == [(1, index) for index in range(10)]
    orders = [[index for _, index in items] for items in (first, second)]
    assert orders[0] != orders[1]
    assert orders[0] != list(range(10))
    assert drawn(sampler, 0) == first
    assert drawn(EpochSampler(10, seed=2), 0) != first


def test_without_shuffling_every_epoch_is_the_first():
    sampler = EpochSampler(4, shuffle=False)
    assert drawn(sampler, 0) == drawn(sampler, 5) == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_an_interrupted_epoch_goes_on_where_it_stood():
    sampler = EpochSampler(10, seed=1)
    assert drawn(sampler, 2, start=4) == drawn(sampler, 2)[4:]
    assert len(sampler) == 10


@pytest.mark.parametrize(("n_items", "world_size"), [(12, 3), (10, 4), (1, 4), (2, 5), (7, 1)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_an_epoch_evenly(n_items: int, world_size: int, shuffle: bool):
    samplers = [EpochSampler(n_items, 1, shuffle, rank, world_size) for rank in range(world_size)]
    shares = [drawn(sampler, 3) for sampler in samplers]
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers}
    assert len(shares[0]) == -(-n_items // world_size)
    items = [item for share in shares for item in share]
    assert {index for _, index in items} == set(range(n_items))
    assert len(items) - len(set(items)) == len(shares[0]) * world_size - n_items
    if world_size * len(shares[0]) == n_items:
        assert sum(len(set(share)) for share in shares) == n_items


@pytest.mark.parametrize(("n_items", "world_size"), [(12, 3), (10, 4), (4, 4), (7, 1)])
def test_each_item_belongs_to_one_process_where_none_may_be_repeated(n_items: int, world_size: int):
    samplers = [
        EpochSampler(n_items, 1, shuffle=False, rank=rank, world_size=world_size, repeat=False)
        for rank in range(world_size)
    ]
    shares = [drawn(sampler, 3) for sampler in samplers]
    assert [len(share) for share in shares] == [len(sampler) for sampler in samplers]
    assert sorted(item for share in shares for item in share) == [(0, index) for index in range(n_items)]


def test_a_process_without_items_is_refused():
    with pytest.raises(ValueError, match="at least one item for each of 3 processes, received 2"):
        EpochSampler(2, world_size=3, repeat=False)
