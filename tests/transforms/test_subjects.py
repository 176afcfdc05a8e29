import numpy as np
import pytest
import torch
from scipy.ndimage import label

from kseg.transforms.deformation import DeformationStrength, random_deformation, warp_head
from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_model import LesionKind, LesionModel
from kseg.transforms.lesions import add_lesions
from kseg.transforms.subjects import SubjectStrength, generate_subject
from kseg.transforms.surfaces import SurfaceStrength, move_surfaces

NONE = SubjectStrength(DeformationStrength(0.0, 25.0, 0.0, 0.0, 0.0, 0.0), SurfaceStrength(0.0, 0.0, 0.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_head() -> CrispHead:
    z, y, x = np.ogrid[:76, :90, :80]
    radius = np.sqrt((z - 37.5) ** 2 + (0.9 * (y - 44.5)) ** 2 + (x - 39.5) ** 2)
    indices = np.zeros((76, 90, 80), dtype=np.uint8)
    for index, limit in ((4, 37), (1, 33), (2, 29), (3, 25), (1, 9)):
        indices[radius < limit] = index
    return CrispHead(indices, ("air", "csf", "gm", "wm", "bone"), (1.0, 1.0, 1.0), np.eye(4))


def test_zero_strength_is_the_identity():
    head = small_head()
    subject = generate_subject(head, generator(), NONE)
    np.testing.assert_array_equal(subject.indices, head.indices)
    assert subject.tissues == head.tissues


def test_subjects_differ_from_each_other_and_are_reproducible():
    state = torch.random.get_rng_state()
    first, again, other = (generate_subject(small_head(), generator(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.indices, again.indices)
    assert (first.indices != other.indices).mean() > 0.05
    assert torch.equal(torch.random.get_rng_state(), state)


def test_relative_volumes_vary_more_than_by_deformation_alone():
    def shares(strength: SubjectStrength) -> np.ndarray:
        heads = [generate_subject(small_head(), generator(seed), strength) for seed in range(6)]
        volumes = np.array([[(head.indices == index).sum() for index in (1, 2, 3)] for head in heads])
        shares: np.ndarray = volumes / volumes.sum(1, keepdims=True)
        return shares

    whole = shares(SubjectStrength(surfaces=SurfaceStrength(0.5, 0.4, 1.5)))
    deformed = shares(SubjectStrength(surfaces=NONE.surfaces))
    ratio = (whole.std(0) / whole.mean(0)) / (deformed.std(0) / deformed.mean(0))
    assert ratio.min() > 1.5


def test_topology_stays_that_of_a_head():
    for seed in range(2):
        subject = generate_subject(small_head(), generator(seed))
        brain = np.isin(subject.indices, [subject.tissues.index(t) for t in ("csf", "gm", "wm")])
        for region in (brain, subject.indices == 3, subject.indices == 4, subject.indices == 0):
            pieces, _ = label(region)
            sizes = np.bincount(pieces.ravel())[1:]
            assert sizes.max() / sizes.sum() > 0.98


def test_lesions_lie_in_the_white_matter_of_the_subject(brain):
    places = brain.places
    without = generate_subject(brain.head, generator(3))
    subject = generate_subject(brain.head, generator(3), SubjectStrength(lesions=LesionModel()), places)
    assert subject.tissues == (*brain.head.tissues, "lesion")
    lesion = subject.membership("lesion") > 0
    assert lesion.sum() > 20
    assert (without.membership("wm")[lesion] == 1).all()
    np.testing.assert_array_equal(subject.indices[~lesion], without.indices[~lesion])


def test_lesions_of_an_unmoved_head_are_those_of_the_model(brain):
    places = brain.places
    strength = SubjectStrength(NONE.deformation, NONE.surfaces, LesionModel())
    subject = generate_subject(brain.head, generator(4), strength, places)
    drawn = generator(4)
    # What moves nothing draws as much.
    deformation = random_deformation(brain.head.extent_mm, drawn, NONE.deformation)
    move_surfaces(warp_head(brain.head, deformation), drawn, NONE.surfaces)
    expected = add_lesions(brain.head, places, drawn, LesionModel())
    np.testing.assert_array_equal(subject.indices, expected.indices)
    assert (subject.membership("lesion") > 0).sum() > 20


def test_a_model_without_lesions_makes_a_subject_without(brain):
    none = LesionModel(*[LesionKind(0.0, 4.0, 0.3, (1.0, 2.0))] * 4)
    subject = generate_subject(brain.head, generator(3), SubjectStrength(lesions=none), brain.places)
    expected = generate_subject(brain.head, generator(3))
    assert subject.tissues == expected.tissues
    np.testing.assert_array_equal(subject.indices, expected.indices)


def test_lesions_need_their_places(brain):
    with pytest.raises(ValueError, match=r"^subject: expected the places of lesions, received none$"):
        generate_subject(brain.head, generator(), SubjectStrength(lesions=LesionModel()))
