from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from kseg.transforms import rand_patient
from kseg.transforms.deformation import DeformationStrength
from kseg.transforms.grid import AcquisitionGrid, place_grid
from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_model import PLACES, LesionKind, LesionModel
from kseg.transforms.lesions import add_lesions
from kseg.transforms.rand_patient import RandContrastsd, RandHeadVolumed, RandLesionsd
from kseg.transforms.scan import scan_kspace
from kseg.transforms.tissues import load_tissue_table

GRID = AcquisitionGrid(shape=(22, 80, 70), spacing_mm=(6.0, 2.0, 2.0), headroom_mm=6.0)
STILL = DeformationStrength(0.0, rotation_deg=0.0, scaling=0.0, shear=0.0, flip_probability=0.0)
CLEAN: dict[str, Any] = {
    "noise": (0.0, 0.0),
    "bias": (0.0, 0.0),
    "tissue_jitter": 0.0,
    "severity": (1.0, 1.0),
    "acquired_mm": 1.0,
}
BIG = LesionModel(
    periventricular=LesionKind(4.0, 16.0, 0.1, (1.0, 1.0)),
    **dict.fromkeys(PLACES[1:], LesionKind(0.0, 4.0, 0.3)),
)

Item = dict[Hashable, Any]


def given(brain, head: CrispHead | None = None) -> Item:
    head = head or brain.head
    placed = place_grid(GRID, head.membership("gm") > 0, head.spacing_mm)
    return {"head": head, "places": brain.places, "placed": placed, "subject": "head", "epoch": 3}


def ill(brain, seed: int = 0) -> CrispHead:
    return add_lesions(brain.head, brain.places, torch.Generator().manual_seed(seed), BIG)


def volume(brain, seed: int = 0, **moves: float) -> Item:
    transform = RandHeadVolumed(replace(STILL, **moves))
    transform.set_random_state(seed)
    return transform(given(brain, ill(brain)))


def images(item: Item, seed: int = 0, **changes: Any) -> torch.Tensor:
    transform = RandContrastsd(**changes)
    transform.set_random_state(seed)
    image: torch.Tensor = transform(item)["image"]
    return image


def means(item: Item, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean of each contrast in voxels of a single tissue, away from other tissue."""
    found = {}
    for tissue in ("csf", "gm", "wm", "lesion", "air"):
        pure = item["sampled"].share(tissue) == 1
        inner = pure & torch.from_numpy(binary_erosion(pure.numpy(), np.ones((1, 3, 3))))
        found[tissue] = image[:, inner if inner.sum() > 20 else pure].mean(dim=1)
    return found


def test_lesions_are_added_and_those_of_the_head_left_as_often_as_asked(brain):
    own = ill(brain, 5)
    old = own.membership("lesion") > 0
    few = replace(BIG, periventricular=LesionKind(1e-9, 4.0, 0.1))
    left = 0
    for seed in range(40):
        transform = RandLesionsd(few, own=0.3)
        transform.set_random_state(seed)
        lesion = transform(given(brain, own))["head"].membership("lesion") > 0
        assert lesion.any()
        left += bool(lesion[old].all())
    assert 5 <= left <= 20
    for share, expected in ((0.0, False), (1.0, True)):
        transform = RandLesionsd(few, own=share)
        transform.set_random_state(0)
        lesion = transform(given(brain, own))["head"].membership("lesion") > 0
        assert lesion[old].all() == expected


def test_an_impossible_share_is_refused():
    with pytest.raises(
        ValueError, match=r"^lesions: expected a share of heads in 0\.\.1 that keep their own"
    ):
        RandLesionsd(own=1.5)


def test_the_label_is_where_half_a_voxel_or_more_is_lesion(brain):
    item = volume(brain, rotation_deg=5.0, velocity_sd_mm=2.0)
    share = item["sampled"].fractions(slice(0, 22))[item["sampled"].tissues.index("lesion")]
    assert item["label"].dtype == torch.uint8
    assert item["label"].shape == (1, *GRID.shape)
    assert torch.equal(item["label"][0] == 1, share >= 0.5)
    assert set(item["label"].unique().tolist()) == {0, 1}
    assert item["label"].sum() > 50
    assert (share[item["label"][0] == 0] > 0).any()
    assert item["subject"] == "head"


def test_a_still_head_is_the_head_itself_and_a_flip_exchanges_left_and_right(brain):
    item = volume(brain)
    total = item["label"].sum().item() * 24.0
    lesion = (ill(brain).membership("lesion") > 0).sum() * 8.0
    assert total == pytest.approx(lesion, rel=0.15)
    assert torch.equal(volume(brain, flip_probability=1.0)["label"], item["label"].flip(-1))
    assert not torch.equal(volume(brain, scaling=0.1)["label"], item["label"])


def test_lesions_are_bright_in_t2w_and_flair_and_dark_in_t1w_and_fluid_is_dark_in_flair(brain):
    item = volume(brain)
    t1w, t2w, flair = (
        {tissue: float(mean[index]) for tissue, mean in means(item, images(item)).items()}
        for index in range(3)
    )
    assert t1w["air"] < t1w["csf"] < t1w["gm"] < t1w["wm"]
    assert t1w["csf"] < t1w["lesion"] < 0.95 * t1w["wm"]
    assert t2w["air"] < t2w["wm"] < t2w["gm"] < t2w["lesion"] < t2w["csf"]
    assert max(flair["air"], flair["csf"]) < 0.4 * flair["wm"]
    assert flair["wm"] < flair["gm"] < 0.8 * flair["lesion"]


def test_without_noise_each_contrast_is_the_signal_of_the_tissues(brain, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def record(fractions, tissues, sequence, **arguments):
        seen.append((tissues, sequence))
        return scan_kspace(fractions, tissues, sequence, **arguments)

    monkeypatch.setattr(rand_patient, "scan_kspace", record)
    item = volume(brain)
    found = means(item, images(item, **CLEAN))
    table = load_tissue_table("3T")
    assert [type(sequence).__name__ for _, sequence in seen[:3]] == [
        "SpinEcho",
        "SpinEcho",
        "InversionRecovery",
    ]
    # All slices of a contrast have its sequence, all contrasts the same tissues.
    assert len({sequence for _, sequence in seen}) == 3
    assert all(tissues == seen[0][0] for tissues, _ in seen)
    for index, (_, sequence) in enumerate(seen[:3]):
        for tissue in ("gm", "wm", "lesion"):
            signal = abs(float(sequence.signal([table[tissue]])))
            assert float(found[tissue][index]) == pytest.approx(signal, rel=0.03)
    assert 0.085 < seen[1][1].te < 0.11
    assert 2.42 < seen[2][1].ti < 2.52


def test_the_noise_is_that_share_of_the_signal_of_white_matter(brain):
    item = volume(brain)
    air = item["sampled"].share("air") == 1
    air[:, 8:-8, 8:-8] = False
    for level in (0.03, 0.06):
        image = images(item, **{**CLEAN, "noise": (level, level)})
        white = means(item, image)["wm"]
        # Rayleigh: the mean of the magnitude of complex noise.
        ratio = image[:, air].mean(dim=1) / white
        torch.testing.assert_close(ratio, torch.full((3,), 1.2533 * level), rtol=0.12, atol=0)


def test_contrasts_are_registered(brain):
    item = volume(brain, rotation_deg=5.0)
    image = images(item, **CLEAN)
    head = item["sampled"].share("air") + item["sampled"].share("bone") < 0.5
    for contrast in image:
        assert ((contrast > 0.03 * contrast.max()) == head).float().mean() > 0.93


def test_brightness_is_uneven_by_as_much_as_asked(brain):
    item = volume(brain)
    even = images(item, **CLEAN)
    uneven = images(item, **{**CLEAN, "bias": (0.2, 0.2)})
    white = item["sampled"].share("wm") == 1
    ratios = (uneven / even)[:, white].log()
    assert (ratios.std(dim=1) > 0.05).all()
    assert (ratios.std(dim=1) < 0.3).all()
    assert not torch.allclose(ratios[0], ratios[1], atol=0.02)
    assert even[0, white].std() < 0.02 * even[0, white].mean()


def test_severe_lesions_are_black_holes(brain):
    item = volume(brain)
    mild, severe = (
        means(item, images(item, **{**CLEAN, "severity": (factor, factor)})) for factor in (0.9, 1.6)
    )
    assert severe["lesion"][0] < severe["gm"][0] < mild["lesion"][0] < mild["wm"][0]
    assert severe["lesion"][1] > mild["lesion"][1]
    varied = images(item, **{**CLEAN, "severity": (0.9, 1.6)})[0][item["label"][0] == 1]
    uniform = images(item, **CLEAN)[0][item["label"][0] == 1]
    assert varied.std() > 1.2 * uniform.std()


def test_a_head_without_lesions_is_scanned_too(brain):
    transform = RandHeadVolumed(STILL)
    transform.set_random_state(0)
    item = transform(given(brain))
    assert not item["label"].any()
    assert images(item).shape == (3, *GRID.shape)


def test_flowing_blood_is_dark(brain):
    item = volume(brain)
    sampled = item["sampled"]
    blood = replace(sampled, tissues=("air", "csf", "gm", "wm", "vessel", "lesion"))
    item = {**item, "sampled": blood}
    image = images(item, **CLEAN)
    vessel = blood.share("vessel") == 1
    white = blood.share("wm") == 1
    assert (image[:, vessel].mean(dim=1) < 0.35 * image[:, white].mean(dim=1)).all()


def test_a_patient_depends_on_its_random_state_alone(brain):
    def patient(seed: int) -> Item:
        item = given(brain)
        for transform in (RandLesionsd(), RandHeadVolumed(), RandContrastsd()):
            transform.set_random_state(seed)
            item = transform(item)
        return item

    first = patient(1)
    other = patient(2)
    again = patient(1)
    for key in ("image", "label"):
        assert torch.equal(first[key], again[key])
        assert not torch.equal(first[key], other[key])
    assert first["image"].dtype == torch.float32


def test_no_contrast_is_refused():
    with pytest.raises(ValueError, match=r"^contrasts: expected at least one sequence, received none$"):
        RandContrastsd(contrasts=())


def test_a_change_of_tissues_that_is_impossible_is_refused():
    with pytest.raises(ValueError, match=r"^tissue jitter: expected 0 or more and below 1, received 1\.0$"):
        RandContrastsd(tissue_jitter=1.0)
