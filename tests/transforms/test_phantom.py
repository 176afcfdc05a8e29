import os
from pathlib import Path

import numpy as np
import pytest
import torch

from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import CrispHead, FuzzyHead, head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map
from kseg.transforms.phantom import class_fractions, majority_labels, make_phantom

TISSUES = ("air", "csf", "gm", "wm", "bone")
GRID = AcquisitionGrid(shape=(6, 16, 12), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=3.0)


def crisp_head(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), seed: int = 0) -> CrispHead:
    shape = [round(size / spacing) for size, spacing in zip((20, 20, 16), spacing_mm, strict=True)]
    indices = np.zeros(shape, dtype=np.uint8)
    inside = tuple(slice(round(3 / spacing), -round(3 / spacing)) for spacing in spacing_mm)
    indices[inside] = np.random.default_rng(seed).integers(0, 5, indices[inside].shape)
    indices[inside][-1] = indices[inside][0] = 2
    indices[inside][:, [0, -1]] = indices[inside][:, :, [0, -1]] = 2
    return CrispHead(indices, TISSUES, spacing_mm, np.diag([*spacing_mm[::-1], 1.0]))


def fuzzy_twin(head: CrispHead) -> FuzzyHead:
    memberships = np.stack([head.membership(tissue) for tissue in head.tissues])
    memberships[0] = 0  # air may be left to what the others do not fill
    return FuzzyHead(memberships, head.tissues, head.spacing_mm, head.affine)


def block_shares(head: CrispHead, z: int, y: int, x: int) -> np.ndarray:
    block = head.indices[z : z + 3, y, x]
    return np.array([(block == index).mean() for index in range(len(TISSUES))])


def test_fractions_are_shares_of_the_source_voxels():
    head = crisp_head()
    phantom = make_phantom(head, "s", grid=GRID)
    assert phantom.fractions.dtype == torch.float32
    assert phantom.tissues == TISSUES
    assert phantom.subject == "s"
    for index, y, x in ((5, 3, 4), (2, 8, 5), (3, 12, 9)):
        z0, y0, x0 = (17 + 3 - 18) + 3 * index, 2 + y, 2 + x
        np.testing.assert_allclose(
            phantom.fractions[:, index, y, x], block_shares(head, z0, y0, x0), atol=1e-6
        )


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (0.8, 1.25, 0.64)])
def test_volumes_are_kept_at_any_resolution(spacing_mm):
    head = crisp_head(spacing_mm)
    phantom = make_phantom(head, "s", grid=AcquisitionGrid((9, 24, 20), (3.0, 1.0, 1.0), headroom_mm=6.0))
    torch.testing.assert_close(phantom.fractions.sum(0), torch.ones(9, 24, 20))
    for index in (1, 2, 3, 4):
        expected = (head.indices == index).sum() * np.prod(spacing_mm)
        assert float(phantom.fractions[index].sum()) * 3 == pytest.approx(expected, rel=1e-4)


def test_crisp_and_fuzzy_heads_make_the_same_phantom():
    head = crisp_head((1.0, 0.5, 1.0))
    for oracle in ("majority", "centre_slice"):
        crisp, fuzzy = (
            make_phantom(each, "s", grid=GRID, oracle=oracle) for each in (head, fuzzy_twin(head))
        )
        torch.testing.assert_close(crisp.fractions, fuzzy.fractions)
        assert torch.equal(crisp.labels, fuzzy.labels)


def test_air_outside_the_volume():
    grid = AcquisitionGrid((12, 40, 36), (3.0, 1.0, 1.0), headroom_mm=9.0)
    phantom = make_phantom(crisp_head(), "s", grid=grid)
    assert (phantom.fractions[0, :, 0] == 1).all()
    assert (phantom.fractions[0, -1] == 1).all()
    assert (phantom.labels[-1] == 0).all()


def stack_head(planes: list[int]) -> CrispHead:
    indices = np.repeat(np.array(planes, dtype=np.uint8), 4).reshape(-1, 2, 2)
    return CrispHead(indices, TISSUES, (1.0, 1.0, 1.0), np.eye(4))


def test_oracles_are_the_majority_or_the_middle_plane():
    head = stack_head([3, 2, 3, 1, 1, 2, 2, 4, 2])
    grid = AcquisitionGrid((3, 2, 2), (3.0, 1.0, 1.0), headroom_mm=0.0)
    majority = make_phantom(head, "s", grid=grid)
    centre = make_phantom(head, "s", grid=grid, oracle="centre_slice")
    assert majority.labels[:, 0, 0].tolist() == [3, 1, 2]
    assert centre.labels[:, 0, 0].tolist() == [2, 1, 0]
    assert majority.labels.dtype == centre.labels.dtype == torch.uint8
    torch.testing.assert_close(majority.fractions, centre.fractions)


def test_affine_leads_back_to_the_head():
    head = crisp_head()
    phantom = make_phantom(head, "s", grid=GRID)
    x, y, z, _ = phantom.affine @ [4, 8, 2, 1]
    np.testing.assert_allclose(
        phantom.fractions[:, 2, 8, 4], block_shares(head, round(z) - 1, round(y), round(x)), atol=1e-6
    )


def test_an_unknown_oracle_is_refused():
    with pytest.raises(
        ValueError, match=r"^oracle: expected one of majority, centre_slice, received 'median'$"
    ):
        make_phantom(crisp_head(), "s", grid=GRID, oracle="median")


def test_a_head_without_cortex_is_refused():
    with pytest.raises(ValueError, match=r"expected grey matter in the label map, received none"):
        make_phantom(stack_head([1, 3, 1]), "s", grid=GRID)


def test_classes_add_up_lesions_as_white_matter_and_the_rest_as_background():
    tissues = ("air", "lesion", "bone", "wm", "csf", "gm")
    fractions = torch.tensor([0.05, 0.1, 0.2, 0.15, 0.3, 0.2])[:, None].expand(6, 2)
    torch.testing.assert_close(
        class_fractions(fractions, tissues), torch.tensor([0.25, 0.3, 0.2, 0.25])[:, None].expand(4, 2)
    )
    assert majority_labels(fractions, tissues).tolist() == [1, 1]


def test_a_tie_goes_to_the_lower_label():
    assert majority_labels(torch.tensor([0.0, 0.5, 0.5]), ("air", "wm", "gm")).item() == 2
    assert majority_labels(torch.tensor([0.5, 0.5]), ("air", "gm")).item() == 0


@pytest.mark.skipif("KSEG_DATA" not in os.environ, reason="KSEG_DATA does not point to the development data")
@pytest.mark.parametrize("number", ["01", "02"])
def test_a_real_head_keeps_its_cortex_and_its_orientation(number):
    path = Path(os.environ["KSEG_DATA"]) / "heads" / f"training_seg_{number}.nii.gz"
    volume = read_label_map(path)
    phantom = make_phantom(head_from_labels(volume, load_label_codes("freesurfer")), number)
    assert tuple(phantom.labels.shape) == (57, 216, 180)
    codes = load_label_codes("freesurfer")
    grey = codes.tissue_indices(volume.array) == codes.tissues.index("gm")
    spacing = np.prod(np.linalg.norm(volume.affine[:3, :3], axis=0))
    assert 3 * float(phantom.fractions[2].sum()) == pytest.approx(grey.sum() * spacing, rel=1e-3)
    # Centres of mass agree in millimetres, whatever the orientation of the file.
    weights = phantom.fractions[2].double()
    index = [float((weights.sum([a for a in range(3) if a != axis]) * torch.arange(weights.shape[axis])).sum())
             for axis in (2, 1, 0)]  # fmt: skip
    centre = phantom.affine @ [*(np.array(index) / float(weights.sum())), 1]
    expected = volume.affine @ [*np.argwhere(grey).mean(0), 1]
    np.testing.assert_allclose(centre[:3], expected[:3], atol=0.05)
    # The nose points forward, the vertex up: white matter lies above and behind the eyes.
    eyes = np.argwhere(volume.array == 506)
    eye_centre = volume.affine @ [*eyes.mean(0), 1]
    assert eye_centre[1] > expected[1] + 30
