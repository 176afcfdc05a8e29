from pathlib import Path

import numpy as np
import pytest

from kseg.transforms.brain_regions import REGIONS, regions_from_labels, regions_of_mni152
from kseg.transforms.head import head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.nifti import NiftiVolume, read_label_map


@pytest.mark.parametrize(
    ("code", "region"),
    [
        (4, "ventricle"),
        (44, "ventricle"),
        (14, "elsewhere"),
        (24, "elsewhere"),
        (3, "cortex"),
        (42, "cortex"),
        (10, "elsewhere"),
        (8, "elsewhere"),
        (2, "white"),
        (57, "white"),
        (28, "elsewhere"),
        (7, "infratentorial"),
        (16, "infratentorial"),
        (0, "elsewhere"),
    ],
)
def test_codes_of_freesurfer_lie_where_they_do(code: int, region: str):
    volume = NiftiVolume(np.full((2, 2, 2), code), np.eye(4))
    regions = regions_from_labels(volume, load_label_codes("freesurfer"))
    assert {REGIONS[index] for index in regions.flat} == {region}


def test_they_are_turned_as_the_head_is():
    labels = np.zeros((3, 4, 5), dtype=np.int16)
    labels[0, 1, 2] = 4
    volume = NiftiVolume(labels, np.diag([-1.0, 1.0, 1.0, 1.0]))
    codes = load_label_codes("freesurfer")
    regions, head = regions_from_labels(volume, codes), head_from_labels(volume, codes)
    assert np.argwhere(regions == 1).tolist() == [[2, 1, 2]]
    np.testing.assert_array_equal(regions == 1, head.membership("csf") > 0)


def test_a_table_without_regions_is_refused():
    volume = NiftiVolume(np.zeros((2, 2, 2), dtype=np.uint8), np.eye(4))
    message = "^brain regions: expected a code table with regions, received brainweb_20$"
    with pytest.raises(ValueError, match=message):
        regions_from_labels(volume, load_label_codes("brainweb_20"))


def test_regions_of_the_embedded_head_have_the_volumes_of_a_brain():
    head = mni152_head()
    regions = regions_of_mni152(head)
    volumes = dict(zip(REGIONS, np.bincount(regions.ravel(), minlength=5) / 1000, strict=True))
    assert 8 < volumes["ventricle"] < 40
    assert 350 < volumes["cortex"] < 700
    assert 380 < volumes["white"] < 560
    assert 15 < volumes["infratentorial"] < 80
    white = np.isin(regions, [REGIONS.index("white"), REGIONS.index("infratentorial")])
    np.testing.assert_array_equal(white, head.membership("wm") > 0)


def test_each_region_of_a_real_head_is_of_one_tissue(heads: list[Path]):
    volume, codes = read_label_map(heads[0]), load_label_codes("freesurfer")
    head, regions = head_from_labels(volume, codes), regions_from_labels(volume, codes)
    expected = {"ventricle": {"csf"}, "cortex": {"gm"}, "white": {"wm", "lesion"}, "infratentorial": {"wm"}}
    for region, tissues in expected.items():
        found = {head.tissues[index] for index in np.unique(head.indices[regions == REGIONS.index(region)])}
        assert found <= tissues
