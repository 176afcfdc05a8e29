import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, label

from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import CrispHead
from kseg.transforms.mni152 import mni152_file, mni152_head
from kseg.transforms.phantom import make_phantom


@pytest.fixture(scope="module")
def head() -> CrispHead:
    state = torch.random.get_rng_state()
    head = mni152_head()
    assert torch.equal(torch.random.get_rng_state(), state)
    return head


def volume_ml(head: CrispHead, tissue: str) -> float:
    return float(head.membership(tissue).sum(dtype=np.float64)) / 1000


def tissue_at_mni(head: CrispHead, x: float, y: float, z: float) -> str:
    index = np.linalg.solve(head.affine, [0.91 * x, 0.91 * y, 0.91 * z, 1])[:3].round().astype(int)
    return head.tissues[head.indices[tuple(index[::-1])]]


def test_volumes_are_those_of_a_head(head):
    assert 300 < volume_ml(head, "csf") < 450
    assert 550 < volume_ml(head, "gm") < 750
    assert 450 < volume_ml(head, "wm") < 600
    assert 300 < volume_ml(head, "bone") < 600
    assert 200 < volume_ml(head, "skin") < 400


@pytest.mark.parametrize(
    ("point", "tissue"),
    [
        ((-10, -20, 8), "gm"),  # thalamus
        ((26, 2, 2), "gm"),  # putamen
        ((24, -20, 34), "wm"),  # centrum semiovale
        ((0, -28, -30), "wm"),  # pons
        ((-8, 5, 18), "csf"),  # lateral ventricle
        ((32, 58, -36), "eye"),
        ((75, 60, 40), "air"),
        ((0, 10, 115), "air"),
    ],
)
def test_landmarks_of_the_mni_space_are_where_they_belong(head, point, tissue):
    assert tissue_at_mni(head, *point) == tissue


def test_layers_follow_each_other_from_inside_out(head):
    index = head.tissues.index
    brain = (head.indices == index("gm")) | (head.indices == index("wm"))
    touched = set(np.unique(head.indices[binary_dilation(brain) & ~brain]))
    assert touched <= {index("csf"), index("connective")}
    skull = (head.indices == index("bone")) | (head.indices == index("marrow"))
    intracranial = brain | (head.indices == index("csf"))
    outside = np.unique(head.indices[binary_dilation(intracranial) & ~intracranial & ~skull])
    assert set(outside) <= {index("connective"), index("soft_tissue"), index("skin")}
    air = np.unique(head.indices[binary_dilation(head.indices == 0) & (head.indices > 0)])
    assert index("skin") in air
    assert not {index("csf"), index("gm"), index("wm")} & set(air)


def test_cortex_is_a_ribbon_and_white_matter_hangs_together(head):
    white = head.indices == head.tissues.index("wm")
    pieces, _ = label(white)
    sizes = np.bincount(pieces.ravel())[1:]
    assert sizes.max() / sizes.sum() > 0.9
    assert sizes.min() >= 10
    # Fluid reaches into the folds: the brain's surface is much larger than that of a ball of its volume.
    brain = white | (head.indices == head.tissues.index("gm"))
    faces = sum(np.count_nonzero(np.diff(brain.astype(np.int8), axis=axis)) for axis in range(3))
    ball = (36 * np.pi) ** (1 / 3) * brain.sum() ** (2 / 3)
    assert faces / 1.5 > 3.5 * ball  # a smooth surface has 1.5 times its area in voxel faces


def test_it_fits_the_default_grid(head):
    phantom = make_phantom(head, "mni152")
    assert phantom.labels.shape == AcquisitionGrid().shape
    kept = 3 * float((phantom.labels == 2).sum()) / 1000
    assert kept == pytest.approx(volume_ml(head, "gm"), rel=0.05)
    rim = phantom.fractions[0][:, [0, -1]].mean(), phantom.fractions[0][:, :, [0, -1]].mean()
    assert min(rim) > 0.98


def test_a_packaged_file_stands_for_the_head():
    assert mni152_file().is_file()
    assert mni152_file().name == "mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz"
