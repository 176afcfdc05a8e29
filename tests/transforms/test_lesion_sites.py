from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from kseg.transforms.brain_regions import REGIONS, regions_from_labels
from kseg.transforms.head import head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.lesion_model import PLACES
from kseg.transforms.lesion_sites import lesion_sites
from kseg.transforms.nifti import read_label_map


def distances(brain, region: str) -> np.ndarray:
    """From the centres of a region to those of the other voxels, millimetres."""
    others = brain.regions != REGIONS.index(region)
    return np.asarray(distance_transform_edt(others, sampling=brain.head.spacing_mm))


def test_sites_touch_what_they_are_named_after(brain):
    places = brain.places
    assert tuple(places) == PLACES
    at = {place: tuple(sites.positions.T) for place, sites in places.items()}
    for place, region in (("periventricular", "ventricle"), ("juxtacortical", "cortex")):
        assert distances(brain, region)[at[place]].max() < 2.0 * np.sqrt(3) + 0.01
        assert (brain.regions[at[place]] == REGIONS.index("white")).all()
    assert (brain.regions[at["infratentorial"]] == REGIONS.index("infratentorial")).all()
    grey = np.asarray(distance_transform_edt(brain.head.membership("gm") == 0, sampling=2.0))
    assert grey[at["deep"]].min() > 2
    assert distances(brain, "ventricle")[at["deep"]].min() > 3


def test_no_site_at_deep_grey_matter_is_juxtacortical(brain):
    places = brain.places
    deep_grey = (brain.head.membership("gm") > 0) & (brain.regions != REGIONS.index("cortex"))
    to_deep_grey = distance_transform_edt(~deep_grey, sampling=2.0)
    to_cortex = distances(brain, "cortex")
    positions = tuple(places["juxtacortical"].positions.T)
    assert (to_cortex[positions] < 3.5).all()
    # The wrong twin: all grey matter would count.
    wall = (brain.regions == REGIONS.index("white")) & (to_deep_grey < 3.5) & (to_cortex > 6)
    assert wall.sum() > 50
    chosen = np.zeros(brain.regions.shape, dtype=bool)
    chosen[positions] = True
    assert not (chosen & wall).any()


def test_directions_point_away_from_the_ventricle(brain):
    sites = brain.places["periventricular"]
    np.testing.assert_allclose(np.linalg.norm(sites.directions.astype(float), axis=1), 1, atol=2e-3)
    to_ventricle = distances(brain, "ventricle")
    there = (sites.positions + np.round(3 * sites.directions.astype(float))).astype(int)
    gained = to_ventricle[tuple(there.T)] - to_ventricle[tuple(sites.positions.T)]
    assert np.median(gained) > 4
    assert (gained > 0).mean() > 0.97


def test_deep_sites_are_fewer_the_further_from_the_ventricle(brain):
    sites = brain.places["deep"]
    shares = np.diff(sites.cumulative, prepend=0.0).astype(float)
    distance = distances(brain, "ventricle")[tuple(sites.positions.T)]
    near, far = shares[abs(distance - 6) < 1.0].mean(), shares[abs(distance - 21) < 1.0].mean()
    assert near / far == pytest.approx(np.exp(1.0), rel=0.1)
    for each in brain.places.values():
        assert each.cumulative[-1] == pytest.approx(1)
        assert (np.diff(each.cumulative) >= 0).all()


def test_what_a_head_lacks_has_no_sites(brain):
    closed = np.where(brain.regions == REGIONS.index("ventricle"), 0, brain.regions).astype(np.uint8)
    assert tuple(lesion_sites(brain.head, closed)) == ("juxtacortical", "infratentorial", "deep")


def test_regions_of_another_head_are_refused(brain):
    with pytest.raises(ValueError, match=r"^lesion sites: expected regions .* received \(69, 84, 70\)$"):
        lesion_sites(brain.head, brain.regions[1:])
    with pytest.raises(ValueError, match=r"^lesion sites: expected white matter among the regions, received"):
        lesion_sites(brain.head, np.zeros_like(brain.regions))


def test_a_real_head_has_sites_of_every_kind(heads: list[Path]):
    volume, codes = read_label_map(heads[0]), load_label_codes("freesurfer")
    head = head_from_labels(volume, codes)
    places = lesion_sites(head, regions_from_labels(volume, codes))
    assert tuple(places) == PLACES
    white = {"wm", "lesion"}
    for sites in places.values():
        assert len(sites.positions) > 3000
        assert {head.tissues[index] for index in np.unique(head.indices[tuple(sites.positions.T)])} <= white
