import numpy as np
import pytest
import torch

from kseg.transforms.head_shell import TISSUES, coordinates, wrap_brain

AFFINE = np.array([[1.0, 0, 0, -60], [0, 1, 0, -70], [0, 0, 1, -100], [0, 0, 0, 1]])
SHAPE = (190, 170, 120)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def wrapped() -> np.ndarray:
    at = coordinates(SHAPE, AFFINE)
    brain = (2 * at.ellipsoid((20, 0, 0), (35, 40, 30))).astype(np.uint8)
    brain[at.ellipsoid((20, 0, 0), (20, 25, 15))] = 3
    return wrap_brain(brain, at, generator())


def test_coordinates_are_those_of_the_affine():
    at = coordinates(SHAPE, AFFINE)
    assert (at.z[0, 0, 0], at.y[0, 0], at.x[0]) == (-100, -70, -60)
    inside = at.ellipsoid((10, 20, 30), (3, 2, 1))
    assert inside.shape == SHAPE
    assert inside[110, 90, 90]
    assert inside[112, 90, 90]
    assert not inside[113, 90, 90]
    assert not inside[110, 90, 91]
    part = at.crop((slice(110, 113), slice(90, 91), slice(90, 91))).ellipsoid((10, 20, 30), (3, 2, 1))
    assert part.all()


def test_layers_along_a_ray_have_their_thickness(wrapped):
    ray = [TISSUES[index] for index in wrapped[120, 70, 60:]]
    order = list(dict.fromkeys(ray))
    assert [tissue for tissue in order if tissue != "marrow"] == [
        "wm", "gm", "csf", "bone", "soft_tissue", "skin", "air",
    ]  # fmt: skip
    thickness = {tissue: ray.count(tissue) for tissue in order}
    assert 1 <= thickness["csf"] <= 4
    assert 4 <= thickness["bone"] + thickness.get("marrow", 0) <= 8
    assert 2 <= thickness["skin"] <= 4
    assert thickness["soft_tissue"] >= 1


def test_brain_is_kept_and_a_cord_leaves_it_downwards(wrapped):
    at = coordinates(SHAPE, AFFINE)
    assert (wrapped[at.ellipsoid((20, 0, 0), (35, 40, 30))] >= 2).all()
    assert TISSUES[wrapped[60, 70, 60]] == "connective"
    assert TISSUES[wrapped[60, 76, 60]] == "csf"
    assert TISSUES[wrapped[60, 80, 60]] in ("bone", "marrow")


def test_the_face_has_eyes_and_airways(wrapped):
    at = coordinates(SHAPE, AFFINE)
    assert (wrapped == TISSUES.index("eye")).sum() > 5000
    assert TISSUES[wrapped[62, 120, 60]] == "air"  # nasal cavity at (-38, 50, 0)
    assert (wrapped[at.ellipsoid((-38, 50, 0), (22, 24, 14))] == TISSUES.index("mucosa")).any()


def test_same_generator_same_head(wrapped):
    at = coordinates(SHAPE, AFFINE)
    brain = np.where(wrapped == 2, 2, np.where(wrapped == 3, 3, 0)).astype(np.uint8)
    np.testing.assert_array_equal(wrap_brain(brain, at, generator()), wrapped)
    assert (wrap_brain(brain, at, generator(1)) != wrapped).mean() > 0.005
