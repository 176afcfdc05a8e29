from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt, label

from kseg.transforms.brain_regions import REGIONS
from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_model import PLACES, LesionKind, LesionModel
from kseg.transforms.lesion_sites import lesion_sites
from kseg.transforms.lesions import _diameter, add_lesions, heal_lesions
from kseg.transforms.signed_distance import signed_distance

NONE = LesionKind(0.0, 4.0, 0.3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(place: str, kind: LesionKind, **changes: float) -> LesionModel:
    """A model with lesions of one place."""
    kinds = dict.fromkeys(PLACES, NONE) | {place: kind}
    return replace(LesionModel(load_spread=0.0, confluence=0.0), **kinds, **changes)  # type: ignore[arg-type]


def lesions(brain, seed: int = 0, model: LesionModel | None = None) -> np.ndarray:
    return np.asarray(add_lesions(brain.head, brain.places, generator(seed), model).membership("lesion") > 0)


def pieces(mask: np.ndarray) -> list[np.ndarray]:
    labels, number = label(mask, np.ones((3, 3, 3)))
    return [labels == index for index in range(1, number + 1)]


def test_lesions_lie_in_white_matter_and_nothing_else_changes(brain):
    with_lesions = add_lesions(brain.head, brain.places, generator())
    assert with_lesions.tissues == (*brain.head.tissues, "lesion")
    lesion = with_lesions.membership("lesion") > 0
    assert lesion.sum() > 50
    assert (brain.head.membership("wm")[lesion] == 1).all()
    np.testing.assert_array_equal(with_lesions.indices[~lesion], brain.head.indices[~lesion])


@pytest.mark.parametrize(("place", "region"), [("periventricular", "ventricle"), ("juxtacortical", "cortex")])
def test_lesions_of_a_wall_touch_it(place: str, region: str, brain):
    found = pieces(lesions(brain, 1, only(place, LesionKind(12.0, 7.0, 0.2))))
    touched = binary_dilation(brain.regions == REGIONS.index(region), np.ones((3, 3, 3)))
    assert len(found) > 4
    assert all((piece & touched).any() for piece in found)


def test_deep_lesions_keep_away_from_grey_matter_and_infratentorial_ones_are_below(brain):
    grey = signed_distance(brain.head.membership("gm") > 0, (2.0, 2.0, 2.0))
    deep = lesions(brain, 2, only("deep", LesionKind(20.0, 8.0, 0.3)))
    assert deep.sum() > 200
    assert grey[deep].min() > 2
    below = lesions(brain, 2, only("infratentorial", LesionKind(6.0, 5.0, 0.3)))
    assert below.any()
    assert (brain.regions[below] == REGIONS.index("infratentorial")).all()


def test_grey_matter_beside_a_lesion_counts_however_small_the_voxels(brain):
    fine = replace(brain.head, spacing_mm=(1.0, 1.0, 1.0))
    places = lesion_sites(fine, brain.regions)
    grey = signed_distance(fine.membership("gm") > 0, fine.spacing_mm)
    for seed in range(10):
        ill = add_lesions(fine, places, generator(seed), only("deep", LesionKind(40.0, 5.0, 0.3, (1.0, 2.0))))
        assert grey[ill.membership("lesion") > 0].min() > 2


def test_their_number_is_that_of_the_model(brain):
    model = only("deep", LesionKind(8.0, 4.0, 0.0))
    counts = [len(pieces(lesions(brain, seed, model))) for seed in range(30)]
    # A few join; a Poisson number has the variance of its mean.
    assert 6.3 < np.mean(counts) < 8.5
    assert 4 < np.var(counts) < 14
    loads = [len(pieces(lesions(brain, seed, replace(model, load_spread=0.8)))) for seed in range(30)]
    assert np.var(loads) > 2 * np.var(counts)


@pytest.mark.parametrize("diameter", [8.0, 12.0])
def test_their_volume_is_that_of_a_sphere_of_the_diameter(diameter: float, brain):
    model = only("deep", LesionKind(1.0, diameter, 0.0, (1.0, 1.0)))
    volumes = [8.0 * lesions(brain, seed, model).sum() for seed in range(60)]
    single = [volume for volume in volumes if volume < 2.2 * np.median(volumes)]
    # Where they meet grey matter they are smaller.
    assert np.median(single) == pytest.approx(np.pi / 6 * diameter**3, rel=0.25)


def test_sizes_stay_within_their_limits(brain):
    wild = only("deep", LesionKind(1.0, 6.0, 3.0))
    smallest, largest = (
        max(piece.sum() * 8.0 for seed in range(12) for piece in pieces(lesions(brain, seed, model)))
        for model in (
            replace(wild, limits_mm=(3.0, 4.0)),
            replace(wild, limits_mm=(3.0, 14.0)),
        )
    )
    assert smallest < 20 * np.pi / 6 * 4.0**3
    assert largest > 5 * smallest


def test_diameters_are_cut_at_both_limits():
    model = LesionModel(limits_mm=(3.0, 4.0))
    generator = torch.Generator().manual_seed(0)
    drawn = [_diameter(LesionKind(1.0, 3.5, 2.0), model, generator) for _ in range(50)]
    assert (min(drawn), max(drawn)) == (3.0, 4.0)
    assert any(3.0 < each < 4.0 for each in drawn)


def test_lesions_at_a_ventricle_are_long_across_its_wall(brain):
    def reach(stretch: tuple[float, float]) -> float:
        """Mean distance from the ventricles."""
        model = only("periventricular", LesionKind(6.0, 8.0, 0.0, stretch))
        away = distance_transform_edt(brain.regions != REGIONS.index("ventricle"), sampling=2.0)
        return float(np.mean([away[lesions(brain, seed, model)].mean() for seed in range(6)]))

    assert reach((2.5, 2.5)) > 1.25 * reach((1.0, 1.0))


def test_confluence_joins_lesions(brain):
    model = only("deep", LesionKind(12.0, 6.0, 0.0))
    counts = [
        np.mean([len(pieces(lesions(brain, seed, replace(model, confluence=share)))) for seed in range(8)])
        for share in (0.0, 0.9)
    ]
    assert counts[1] < 0.6 * counts[0]


def test_a_lesion_does_not_reach_across_other_tissue(brain):
    sheet = brain.head.indices.copy()
    sheet[:, :, 34:36] = np.where(sheet[:, :, 34:36] == 3, 1, sheet[:, :, 34:36])
    split = replace(brain.head, indices=sheet)
    places = lesion_sites(split, np.where(sheet == 1, 0, brain.regions).astype(np.uint8))
    # However small the mean is, a patient has a lesion: here exactly one.
    model = only("deep", LesionKind(1e-6, 25.0, 0.0))
    for seed in range(10):
        lesion = add_lesions(split, places, generator(seed), model).membership("lesion") > 0
        assert lesion.any()
        assert not (lesion[:, :, :34].any() and lesion[:, :, 36:].any())


def test_there_is_at_least_one_unless_the_model_has_none(brain):
    rare = only("periventricular", LesionKind(1e-6, 6.0, 0.0))
    assert lesions(brain, 0, rare).any()
    places = brain.places
    assert add_lesions(brain.head, places, generator(), only("deep", NONE)) is brain.head
    assert add_lesions(brain.head, {}, generator()) is brain.head


def test_lesions_that_a_head_has_stay_and_are_healed_where_asked(brain):
    places = brain.places
    first = add_lesions(brain.head, places, generator(1))
    again = add_lesions(first, places, generator(2))
    assert again.tissues == first.tissues
    assert (again.indices == 5).sum() > (first.indices == 5).sum()
    assert (again.indices[first.indices == 5] == 5).all()
    np.testing.assert_array_equal(heal_lesions(again).indices, brain.head.indices)
    assert heal_lesions(brain.head) is brain.head


def test_sites_of_another_head_leave_other_tissue_alone(brain):
    places = brain.places
    fluid = replace(brain.head, indices=np.ones_like(brain.head.indices))
    assert not (add_lesions(fluid, places, generator()).membership("lesion") > 0).any()


def test_same_generator_same_lesions_and_no_other_state_moves(brain):
    first, again, other = (lesions(brain, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_sizes_are_in_millimetres(brain):
    fine = CrispHead(brain.head.indices, brain.head.tissues, (1.0, 1.0, 1.0), np.eye(4))
    model = only("deep", LesionKind(4.0, 6.0, 0.0))

    def n_voxels(head: CrispHead) -> float:
        places = lesion_sites(head, brain.regions)
        heads = [add_lesions(head, places, generator(seed), model) for seed in range(10)]
        return float(np.mean([each.membership("lesion").sum() for each in heads]))

    assert n_voxels(fine) == pytest.approx(8 * n_voxels(brain.head), rel=0.35)
