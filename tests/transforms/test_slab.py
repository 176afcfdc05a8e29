import numpy as np
import pytest
import torch

from kseg.transforms.deformation import Deformation, random_deformation, warp_head
from kseg.transforms.grid import AcquisitionGrid, PlacedGrid, place_grid
from kseg.transforms.head import CrispHead
from kseg.transforms.phantom import make_phantom
from kseg.transforms.slab import sample_head, slab_fractions

GRID = AcquisitionGrid(shape=(5, 20, 16), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=2.0)


def random_head(spacing_mm: float) -> CrispHead:
    indices = np.zeros([round(size / spacing_mm) for size in (18, 24, 20)], dtype=np.uint8)
    shell, core = (
        tuple(slice(round(m / spacing_mm), -round(m / spacing_mm)) for _ in range(3)) for m in (3, 5)
    )
    generator = np.random.default_rng(0)
    indices[shell] = generator.integers(0, 4, indices[shell].shape)
    indices[core] = 2
    return CrispHead(indices, ("air", "csf", "gm", "wm"), (spacing_mm,) * 3, np.eye(4))


def place(head: CrispHead) -> PlacedGrid:
    return place_grid(GRID, head.membership("gm") > 0.5, head.spacing_mm)


@pytest.mark.parametrize("spacing_mm", [1.0, 0.5])
def test_every_slice_is_that_of_the_phantom(spacing_mm: float):
    head = random_head(spacing_mm)
    phantom, placed = make_phantom(head, "head", grid=GRID), place(head)
    for index in range(GRID.shape[0]):
        fractions = slab_fractions(head, placed, index)
        torch.testing.assert_close(fractions, phantom.fractions[:, index], rtol=0, atol=1e-6)
    assert not torch.allclose(slab_fractions(head, placed, 2.5), phantom.fractions[:, 2])


def test_a_third_of_a_slice_further_is_one_plane_further():
    head = random_head(1.0)
    placed = place(head)
    planes = torch.nn.functional.one_hot(torch.from_numpy(head.indices).long(), 4).movedim(-1, 0).float()
    start = round(placed.origin_mm[0]) + 4
    y, x = (round(placed.origin_mm[axis]) for axis in (1, 2))
    expected = planes[:, start : start + 3, y : y + 20, x : x + 16].mean(1)
    torch.testing.assert_close(slab_fractions(head, placed, 4 / 3), expected)


def test_outside_the_volume_is_air():
    head = random_head(1.0)
    fractions = slab_fractions(head, place(head), 1000)
    assert (fractions[0] == 1).all()
    assert (fractions[1:] == 0).all()


def test_a_deformation_by_whole_voxels_moves_the_slice():
    head = random_head(1.0)
    shift = torch.tensor([[1.0, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0]])
    moved = Deformation(torch.zeros(3, 2, 2, 2), shift, (18.0, 24.0, 20.0))
    torch.testing.assert_close(
        slab_fractions(head, place(head), 1, moved), slab_fractions(head, place(head), 2)
    )


def test_a_deformed_slice_is_the_slice_of_the_deformed_head():
    head = random_head(1.0)
    deformation = random_deformation((18.0, 24.0, 20.0), torch.Generator().manual_seed(3))
    placed = place(head)
    expected = slab_fractions(warp_head(head, deformation), placed, 2)
    torch.testing.assert_close(slab_fractions(head, placed, 2, deformation), expected)
    assert not torch.allclose(slab_fractions(head, placed, 2), expected)


@pytest.mark.parametrize("spacing_mm", [1.0, 0.5])
def test_samples_of_all_slices_give_what_single_slices_give(spacing_mm: float):
    head = random_head(spacing_mm)
    placed = place(head)
    deformation = random_deformation(head.extent_mm, torch.Generator().manual_seed(1))
    sampled = sample_head(head, placed, deformation)
    expected = [slab_fractions(head, placed, index, deformation) for index in range(GRID.shape[0])]
    assert sampled.labels.dtype == torch.uint8
    assert torch.equal(sampled.fractions(slice(0, 5)), torch.stack(expected, dim=1))
    assert torch.equal(sampled.fractions(slice(3, 9)), torch.stack(expected[3:], dim=1))
    for index, tissue in enumerate(head.tissues):
        share = sampled.share(tissue)
        torch.testing.assert_close(share, torch.stack(expected, dim=1)[index], rtol=0, atol=1e-6)
    assert not sampled.share("lesion").any()
    assert sampled.share("lesion").shape == GRID.shape
