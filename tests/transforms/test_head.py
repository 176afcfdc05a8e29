import itertools

import nibabel
import numpy as np
import pytest

from kseg.transforms.head import CrispHead, FuzzyHead, canonical, head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import NiftiVolume

AFFINE = np.array([[2.0, 0, 0, -10], [0, 3.0, 0, -20], [0, 0, 4.0, -30], [0, 0, 0, 1]])


@pytest.mark.parametrize("axes", list(itertools.permutations("xyz")))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_any_orientation_becomes_the_canonical_one(axes, flips):
    voxels = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    orientation = np.array([("xyz".index(axis), flip) for axis, flip in zip(axes, flips, strict=True)])
    to_canonical = nibabel.orientations.inv_ornt_aff(orientation, [(2, 3, 5)["xyz".index(a)] for a in axes])
    stored = nibabel.apply_orientation(voxels, nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), orientation
    ))  # fmt: skip
    turned, spacing_mm, affine = canonical(stored, AFFINE @ np.linalg.inv(to_canonical))
    np.testing.assert_array_equal(turned, voxels.transpose(2, 1, 0))
    assert spacing_mm == (4.0, 3.0, 2.0)
    np.testing.assert_allclose(affine, AFFINE)
    assert turned.flags.c_contiguous


def test_a_voxel_keeps_its_place_in_millimetres():
    stored = np.zeros((4, 5, 6), dtype=np.int32)
    stored[1, 2, 3] = 42
    affine = nibabel.affines.from_matvec(
        nibabel.eulerangles.euler2mat(0.2, 0.1, -0.2) @ np.array([[0, 0, -1.5], [-1.0, 0, 0], [0, 2.0, 0]]),
        [5, 6, 7],
    )
    head = head_from_labels(NiftiVolume(stored, affine), load_label_codes("freesurfer"))
    ((z, y, x),) = np.argwhere(head.indices)
    np.testing.assert_allclose(head.affine @ [x, y, z, 1], affine @ [1, 2, 3, 1])
    np.testing.assert_allclose(head.spacing_mm, (2.0, 1.0, 1.5))
    assert head.tissues[head.indices[z, y, x]] == "gm"


def test_unknown_codes_of_a_label_map_are_refused():
    with pytest.raises(ValueError, match=r"expected codes of the table freesurfer, received 7777"):
        head_from_labels(NiftiVolume(np.full((2, 2, 2), 7777), np.eye(4)), load_label_codes("freesurfer"))


def test_membership_of_crisp_and_fuzzy_heads():
    indices = np.array([[[0, 1, 2]]], dtype=np.uint8)
    crisp = CrispHead(indices, ("air", "gm", "wm"), (1.0, 1.0, 1.0), np.eye(4))
    fuzzy = FuzzyHead(
        np.stack([indices == index for index in range(3)]).astype(np.float32),
        crisp.tissues,
        (1.0,) * 3,
        np.eye(4),
    )
    for head in (crisp, fuzzy):
        np.testing.assert_array_equal(head.membership("wm"), [[[0, 0, 1]]])
        assert head.membership("wm").dtype == np.float32
