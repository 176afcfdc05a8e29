import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, label

from kseg.transforms.head import CrispHead
from kseg.transforms.lesions import add_lesions


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slab_head(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> CrispHead:
    indices = np.zeros((60, 60, 60), dtype=np.uint8)
    indices[5:-5, 5:-5, 5:-5] = 2
    indices[10:-10, 10:-10, 10:-10] = 3
    indices[28:32, 28:32, 28:32] = 1
    return CrispHead(indices, ("air", "csf", "gm", "wm"), spacing_mm, np.eye(4))


def test_lesions_lie_in_white_matter_away_from_grey():
    head = slab_head()
    with_lesions = add_lesions(head, generator(), 20.0)
    assert with_lesions.tissues == ("air", "csf", "gm", "wm", "lesion")
    lesion = with_lesions.membership("lesion") > 0
    assert lesion.sum() > 200
    assert (head.indices[lesion] == 3).all()
    np.testing.assert_array_equal(with_lesions.indices[~lesion], head.indices[~lesion])
    assert distance_transform_edt(head.indices != 2)[lesion].min() > 2


def test_their_number_is_about_the_mean_and_their_size_that_of_lesions():
    head = slab_head()
    counts, sizes = [], []
    for seed in range(20):
        pieces, number = label(add_lesions(head, generator(seed), 4.0).indices == 4)
        counts.append(number)
        sizes.extend(np.bincount(pieces.ravel())[1:])
    assert 2.5 < np.mean(counts) < 5.0
    diameters = 2 * (np.array(sizes) * 3 / (4 * np.pi)) ** (1 / 3)
    assert 4 < np.median(diameters) < 9
    assert diameters.max() < 25


@pytest.mark.parametrize("spacing_mm", [0.5, 2.0])
def test_size_is_in_millimetres(spacing_mm: float):
    def volume(head: CrispHead) -> float:
        lesions = [add_lesions(head, generator(seed), 1.0).indices == 4 for seed in range(20)]
        return float(np.mean(lesions) * lesions[0].size * np.prod(head.spacing_mm))

    assert volume(slab_head((spacing_mm,) * 3)) == pytest.approx(volume(slab_head()), rel=0.5)


def test_no_lesions_leave_the_head_as_it_is():
    head = slab_head()
    assert add_lesions(head, generator(), 0.0) is head
    no_white = CrispHead(
        np.where(head.indices == 3, 2, head.indices).astype(np.uint8), head.tissues, (1.0,) * 3, np.eye(4)
    )
    assert add_lesions(no_white, generator(), 50.0) is no_white


def test_a_head_with_lesions_gets_more_of_the_same_tissue():
    head = add_lesions(slab_head(), generator(1), 5.0)
    again = add_lesions(head, generator(2), 20.0)
    assert again.tissues == head.tissues
    assert (again.indices == 4).sum() > (head.indices == 4).sum()
    assert (again.indices[head.indices == 4] == 4).all()


def test_same_generator_same_lesions():
    first, again, other = (add_lesions(slab_head(), generator(seed), 5.0).indices for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
