"""Colours that stay apart, on a black image and for every common colour vision."""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from kseg.pipelines.palette import class_colours

# Viénot, Brettel and Mollon 1999: linear RGB as seen without the long- or the medium-wave cones.
SEEN_BY = {
    "normal": np.eye(3),
    "protanope": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "deuteranope": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
}


def linear(colour: str) -> NDArray[np.float64]:
    value = np.asarray(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def test_the_same_classes_have_the_same_colours_in_any_order() -> None:
    assert class_colours([3, 1, 2]) == class_colours([1, 2, 3])
    assert class_colours(range(1, 8))[7] == class_colours(range(1, 8))[1]


def test_the_colours_are_told_apart_with_every_colour_vision() -> None:
    colours = class_colours(range(1, 7)).values()
    for matrix in SEEN_BY.values():
        for first, second in combinations(colours, 2):
            assert np.linalg.norm(matrix @ (linear(first) - linear(second))) > 0.1
    red, green = "#d62728", "#2ca02c"
    deuteranope = SEEN_BY["deuteranope"]
    assert np.linalg.norm(deuteranope @ (linear(red) - linear(green))) < 0.1


def test_every_colour_is_bright_on_black() -> None:
    # WCAG 2.2 asks for a contrast of 3 between graphics and their background.
    assert min((luminance(colour) + 0.05) / 0.05 for colour in class_colours(range(1, 7)).values()) > 3
