import numpy as np
import pytest

from kseg.transforms.head_shell import Coordinates
from kseg.transforms.mni_structures import cerebellum, deep_grey, hippocampus, stem, ventricles


@pytest.mark.parametrize(
    ("structure", "inside", "outside"),
    [
        (deep_grey, (4, -5, 0), (40, -5, 0)),
        (stem, (-32, -25, 0), (-32, -25, 30)),
        (ventricles, (7, -7, 0), (7, -7, 40)),
        (cerebellum, (-40, -60, 10), (10, -60, 10)),
        (hippocampus, (-16, -17, 23), (-16, -17, 0)),
    ],
)
def test_structures_lie_where_they_do_on_both_sides(structure, inside, outside):
    def holds(point: tuple[int, int, int]) -> bool:
        z, y, x = (np.array([value], dtype=np.float32) for value in point)
        return bool(structure(Coordinates(z[:, None, None], y[:, None], x)).all())

    assert holds(inside)
    assert holds((inside[0], inside[1], -inside[2]))
    assert not holds(outside)
