from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, RandCropByPosNegLabeld, SelectItemsd

from kseg.pipelines.slices import EpochSampler
from kseg.pipelines.volumes import SimulatedVolumes
from kseg.transforms.grid import GridRange
from kseg.transforms.lesion_model import LesionKind, LesionModel
from kseg.transforms.nifti import write_nifti
from kseg.transforms.rand_patient import RandContrastsd, RandHeadVolumed, RandLesionsd

COARSE = GridRange((18, 60, 50), (24, 70, 60), (8.0, 3.0, 3.0), (8.0, 9.0, 9.0))
LARGE = LesionModel(periventricular=LesionKind(6.0, 20.0, 0.1), load_spread=0.0)


def crops(n_samples: int = 2) -> list[Any]:
    return [
        SelectItemsd(["image", "label", "subject"]),
        RandCropByPosNegLabeld(
            ["image", "label"], "label", spatial_size=(8, 24, 24), num_samples=n_samples, pos=3, neg=1
        ),
    ]


def dataset(heads: list[Path], after: list[Any], seed: int = 0, n_patients: int = 1) -> SimulatedVolumes:
    transform = Compose([RandLesionsd(LARGE), RandHeadVolumed(), RandContrastsd(acquired_mm=3.0), *after])
    data = [{"label_map": str(path)} for path in heads]
    return SimulatedVolumes(data, transform, seed=seed, n_patients=n_patients, grids=COARSE)


@pytest.fixture(scope="module")
def volumes(small_heads: list[Path]) -> SimulatedVolumes:
    return dataset(small_heads, [SelectItemsd(["image", "label", "subject", "epoch"])], n_patients=2)


@pytest.fixture(scope="module")
def cropped(small_heads: list[Path]) -> SimulatedVolumes:
    return dataset(small_heads, crops())


def test_items_are_patients_of_each_head_on_a_grid_that_holds_it(volumes: SimulatedVolumes):
    assert len(volumes) == 4
    items = [volumes[1, index] for index in range(4)]
    assert [item["subject"] for item in items] == ["head_1_0", "head_1_1", "head_2_0", "head_2_1"]
    for item in items:
        shape = item["label"].shape[1:]
        assert item["image"].shape == (3, *shape)
        assert item["image"].dtype == torch.float32
        assert item["label"].dtype == torch.uint8
        assert all(
            low <= n <= high for low, n, high in zip(COARSE.smallest, shape, COARSE.largest, strict=True)
        )
        assert 20 < item["label"].sum() < 0.05 * item["label"].numel()
    assert not torch.equal(items[0]["label"], items[1]["label"])


def test_a_patient_is_the_same_in_any_order_and_another_in_another_epoch(volumes: SimulatedVolumes):
    first, other = volumes[0, 1], volumes[1, 1]
    again = volumes[0, 1]
    for key in ("image", "label"):
        assert torch.equal(first[key], again[key])
        assert not torch.equal(first[key], other[key])


@pytest.mark.parametrize("n_workers", [0, 1, 2])
def test_crops_behind_it_are_the_same_in_any_worker(n_workers: int, cropped: SimulatedVolumes, seeded: None):
    sampler = EpochSampler(len(cropped), seed=3)
    sampler.epoch = 4
    loader = DataLoader(cropped, batch_size=2, sampler=sampler, num_workers=n_workers)
    (batch,) = list(loader)
    assert batch["image"].shape == (4, 3, 8, 24, 24)
    assert batch["label"].shape == (4, 1, 8, 24, 24)
    expected = [crop for item in sampler for crop in cropped[item]]
    for index, crop in enumerate(expected):
        for key in ("image", "label"):
            assert torch.equal(torch.as_tensor(batch[key][index]), torch.as_tensor(crop[key]))
    # Three of four crops are centred on lesions.
    assert sum(bool(crop["label"].any()) for crop in expected) >= 2


def test_another_seed_is_another_patient(small_heads: list[Path], cropped: SimulatedVolumes):
    other = dataset(small_heads, crops(), seed=1)
    assert not torch.equal(other[0, 0][0]["image"], cropped[0, 0][0]["image"])


def test_codes_without_regions_and_heads_without_white_matter_are_refused(tmp_path: Path):
    labels = np.zeros((30, 30, 30), dtype=np.uint8)
    labels[10:20, 10:20, 10:20] = 3
    write_nifti(tmp_path / "head.nii.gz", labels, np.eye(4))
    data, nothing = [{"label_map": str(tmp_path / "head.nii.gz")}], Compose([])
    with pytest.raises(
        ValueError,
        match=r"head.nii.gz: simulated volumes: expected a head that items can be made of, received lesion sites: ",
    ):
        SimulatedVolumes(data, nothing)
    with pytest.raises(
        ValueError,
        match=r"head.nii.gz: simulated volumes: .*received brain regions: expected a code table with regions",
    ):
        SimulatedVolumes(data, nothing, codes="brainweb_20")
    with pytest.raises(ValueError, match=r"^simulated volumes: expected at least one label map"):
        SimulatedVolumes([], nothing)
