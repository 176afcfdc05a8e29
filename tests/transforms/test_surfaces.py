from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, label

from kseg.transforms.head import CrispHead
from kseg.transforms.lesions import heal_lesions
from kseg.transforms.surfaces import SurfaceStrength, move_surfaces

TISSUES = ("air", "csf", "gm", "wm", "bone")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ball_head(spacing_mm: float = 1.0) -> CrispHead:
    """Ventricle of 10 mm, white matter to 26 mm, a cortex of 4 mm with sulci, fluid, bone."""
    n = round(80 / spacing_mm)
    z, y, x = (axis * spacing_mm - 40 + spacing_mm / 2 for axis in np.ogrid[:n, :n, :n])
    radius = np.sqrt(z**2 + y**2 + x**2)
    indices = np.zeros((n, n, n), dtype=np.uint8)
    for index, limit in ((4, 38), (1, 34), (2, 30), (3, 26), (1, 10)):
        indices[radius < limit] = index
    sulci = (np.abs(z) < 1) | (np.abs(y) < 1)
    indices[sulci & (radius > 27.5) & (radius < 34)] = 1
    return CrispHead(indices, TISSUES, (spacing_mm,) * 3, np.eye(4))


def volume(head: CrispHead, tissue: str) -> float:
    return float(head.membership(tissue).sum(dtype=np.float64) * np.prod(head.spacing_mm))


def test_zero_strength_is_the_identity():
    head = ball_head()
    moved = move_surfaces(head, generator(), SurfaceStrength(0.0, 0.0, 0.0))
    np.testing.assert_array_equal(moved.indices, head.indices)


def test_same_generator_same_brain_and_the_head_is_left_alone():
    head = ball_head()
    before = head.indices.copy()
    first, again, other = (move_surfaces(head, generator(seed), SurfaceStrength()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.indices, again.indices)
    assert (first.indices != other.indices).any()
    np.testing.assert_array_equal(head.indices, before)


def test_volumes_vary_and_the_skull_and_the_space_within_stay():
    head = ball_head()
    moved = [move_surfaces(head, generator(seed), SurfaceStrength(0.5, 0.5, 1.5)) for seed in range(8)]
    for tissue, least in (("csf", 0.05), ("gm", 0.03), ("wm", 0.02)):
        volumes = np.array([volume(each, tissue) for each in moved])
        assert volumes.std(ddof=1) / volumes.mean() > least
        assert volumes.mean() == pytest.approx(volume(head, tissue), rel=0.2)
    for each in moved:
        np.testing.assert_array_equal(each.indices == 4, head.indices == 4)
        np.testing.assert_array_equal(each.indices == 0, head.indices == 0)


@pytest.mark.parametrize(
    ("strength", "kept"),
    [
        (SurfaceStrength(0.5, 0.0, 0.0), "wm"),
        (SurfaceStrength(0.0, 0.5, 0.0), "csf"),
    ],
)
def test_a_surface_moves_only_between_its_two_tissues(strength, kept):
    head = ball_head()
    moved = move_surfaces(head, generator(), strength)
    np.testing.assert_array_equal(moved.membership(kept), head.membership(kept))
    assert (moved.indices != head.indices).mean() > 0.002


def test_only_the_ventricle_moves_with_its_strength():
    head = ball_head()
    z, y, x = (axis - 39.5 for axis in np.ogrid[:80, :80, :80])
    far = np.sqrt(z**2 + y**2 + x**2) > 20
    grown = 0
    for seed in range(6):
        moved = move_surfaces(head, generator(seed), SurfaceStrength(0.0, 0.0, 2.0))
        np.testing.assert_array_equal(moved.indices[far], head.indices[far])
        grown += int(volume(moved, "csf") > volume(head, "csf"))
        pieces, _ = label((moved.indices == 1) & ~far)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() / sizes.sum() > 0.97
    assert 0 < grown < 6


def test_white_matter_stays_covered_by_grey():
    head = ball_head()
    moved = move_surfaces(head, generator(4), SurfaceStrength(0.0, 1.5, 0.0))
    z, y, x = (axis - 39.5 for axis in np.ogrid[:80, :80, :80])
    outer = np.sqrt(z**2 + y**2 + x**2) > 20
    for each in (head, moved):
        white = (each.indices == 3) & outer
        assert not (binary_dilation(white) & (each.indices == 1) & outer).any()


def test_a_shift_below_a_voxel_moves_its_share_of_voxels():
    # The same shift in millimetres changes volumes alike at both resolutions.
    changes = {}
    for spacing_mm in (1.0, 2.0):
        head = ball_head(spacing_mm)
        volumes = [
            volume(move_surfaces(head, generator(seed), SurfaceStrength(0.4, 0.0, 0.0)), "gm")
            for seed in range(12)
        ]
        changes[spacing_mm] = np.std(volumes) / volume(head, "gm")
    assert 0.4 < changes[2.0] / changes[1.0] < 2.5


def test_lesions_of_a_head_are_white_matter_while_its_surfaces_move():
    head = ball_head()
    indices = head.indices.copy()
    # Two in the depth of the white matter, one beneath the cortex.
    for z, y, x in ((40, 40, 58), (22, 40, 40), (40, 64, 40)):
        indices[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = len(TISSUES)
    indices[head.indices != TISSUES.index("wm")] = head.indices[head.indices != TISSUES.index("wm")]
    ill = replace(head, indices=indices, tissues=(*TISSUES, "lesion"))
    strength = SurfaceStrength(0.5, 0.5, 1.5)
    moved, expected = (move_surfaces(each, generator(4), strength) for each in (ill, head))
    white = expected.indices == TISSUES.index("wm")
    lesion = indices == len(TISSUES)
    assert 0 < (lesion & white).sum() < lesion.sum()
    np.testing.assert_array_equal(moved.membership("lesion") > 0, lesion & white)
    np.testing.assert_array_equal(heal_lesions(moved).indices, expected.indices)
