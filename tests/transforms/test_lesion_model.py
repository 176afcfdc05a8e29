from typing import Any

import pytest

from kseg.transforms.lesion_model import PLACES, LesionKind, LesionModel


def test_each_place_has_its_lesions():
    model = LesionModel()
    assert [model.kind(place) for place in PLACES] == [
        model.periventricular,
        model.juxtacortical,
        model.infratentorial,
        model.deep,
    ]
    # As published: 13.0 between ventricle and cortex; the largest at the ventricles, perpendicular to them.
    assert model.deep.number == 13.0
    assert model.periventricular.diameter_mm == max(model.kind(place).diameter_mm for place in PLACES)
    assert max(model.periventricular.stretch) > 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": -1.0},
        {"diameter_mm": 0.0},
        {"spread": -0.1},
        {"stretch": (2.0, 1.0)},
        {"stretch": (0.0, 1.0)},
    ],
)
def test_impossible_lesions_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=r"^lesions: expected number >= 0, .* received LesionKind\("):
        LesionKind(**{"number": 1.0, "diameter_mm": 4.0, "spread": 0.3, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [{"load_spread": -0.1}, {"limits_mm": (25.0, 3.0)}, {"limits_mm": (0.0, 3.0)}, {"confluence": 1.5}],
)
def test_an_impossible_model_is_refused(wrong: dict[str, Any]):
    with pytest.raises(
        ValueError, match=r"^lesions: expected load_spread >= 0, .* received \S+, \[.*\] and "
    ):
        LesionModel(**wrong)
