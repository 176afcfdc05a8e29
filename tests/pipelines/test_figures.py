"""The pictures, read back as pixels: which colour lies where, and what stands beside what."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from kseg.pipelines.figures import AxialSlice, contour_figure, recurrence_figure
from kseg.pipelines.palette import class_colours

CLASSES = {1: "CSF", 2: "GM", 3: "WM"}
COLOURS = {class_id: np.asarray(to_rgb(colour)) for class_id, colour in class_colours(CLASSES).items()}


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(imread(BytesIO(png), format="png"), float)[..., :3]


def places(picture: NDArray[np.float64], colour: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows and columns of the pixels of a colour, or of it blended with black; legend excluded."""
    share = picture @ colour / (colour @ colour)
    found = np.argwhere((np.abs(picture - share[..., None] * colour).max(-1) < 0.02) & (share > 0.4))
    return found[found[:, 0] < 0.88 * picture.shape[0]]


def corner(shape: tuple[int, int] = (40, 30)) -> NDArray[np.int32]:
    """A structure at the top right: anterior, on the patient's left."""
    labels = np.zeros(shape, np.int32)
    labels[6:12, 20:27] = 2
    return labels


def test_a_structure_on_the_patients_left_is_drawn_top_right() -> None:
    picture = pixels(contour_figure(AxialSlice(corner(), (1.0, 1.0)), CLASSES))
    rows, columns = places(picture, COLOURS[2]).T
    height, width = picture.shape[:2]
    assert len(rows) > 100
    assert rows.max() < 0.5 * height
    assert columns.min() > 0.5 * width
    assert len(places(picture, COLOURS[1])) == 0


def test_the_filled_area_has_the_shape_in_millimetres() -> None:
    picture = pixels(contour_figure(AxialSlice(corner(), (3.0, 1.0)), CLASSES))
    rows, columns = places(picture, COLOURS[2]).T
    # 6 rows of 3 mm and 7 columns of 1 mm; the fill runs to the half-way line between pixel centres.
    assert (np.ptp(rows) + 1) / (np.ptp(columns) + 1) == pytest.approx(6 * 3.0 / 7, rel=0.1)


def test_on_an_image_the_structure_is_an_outline() -> None:
    labels = corner()
    image = np.zeros(labels.shape)
    filled = pixels(contour_figure(AxialSlice(labels, (1.0, 1.0)), CLASSES))
    outlined = pixels(contour_figure(AxialSlice(labels, (1.0, 1.0), image), CLASSES))
    assert 0 < len(places(outlined, COLOURS[2])) < 0.2 * len(places(filled, COLOURS[2]))


def test_outlines_of_neighbours_do_not_hide_each_other() -> None:
    labels = np.zeros((40, 30), np.int32)
    labels[6:34, 4:26] = 1
    labels[10:30, 8:22] = 2
    labels[15:25, 12:18] = 3
    picture = pixels(contour_figure(AxialSlice(labels, (1.0, 1.0), np.zeros(labels.shape)), CLASSES))
    # Each outline is seen on all its sides: its pixels reach as far in each direction as its class does.
    for class_id, (height, width) in {1: (28, 22), 2: (20, 14), 3: (10, 6)}.items():
        rows, columns = places(picture, COLOURS[class_id]).T
        assert np.ptp(rows) / np.ptp(columns) == pytest.approx(height / width, rel=0.15)


def test_reference_and_image_stand_beside() -> None:
    labels, image = corner(), np.zeros((40, 30))
    alone = pixels(contour_figure(AxialSlice(labels, (1.0, 1.0)), CLASSES))
    both = pixels(contour_figure(AxialSlice(labels, (1.0, 1.0), reference=labels), CLASSES))
    three = pixels(contour_figure(AxialSlice(labels, (1.0, 1.0), image, labels), CLASSES))
    ratio = [picture.shape[1] / picture.shape[0] for picture in (alone, both, three)]
    assert ratio[0] < 0.7 * ratio[1] < 0.7 * ratio[2]
    half = both.shape[1] // 2
    columns = places(both, COLOURS[2])[:, 1]
    assert (columns < half).sum() == pytest.approx((columns > half).sum(), rel=0.05)


def test_recurrences_are_columns_and_classes_are_rows() -> None:
    probabilities = np.zeros((40, 30, 4, 3))
    probabilities[..., 2, 1] = 1.0  # GM, first recurrence: the middle of the nine maps is bright
    picture = pixels(recurrence_figure(probabilities, AxialSlice(corner(), (1.0, 1.0)), CLASSES))
    bright = np.asarray([0.987053, 0.991438, 0.749504])  # the end of the colour map
    rows, columns = np.argwhere(np.abs(picture - bright).max(-1) < 0.01).T
    maps = columns < 0.8 * picture.shape[1]
    height, width = picture.shape[:2]
    assert maps.sum() > 0.02 * height * width
    assert rows[maps].mean() / height == pytest.approx(0.5, abs=0.06)
    assert 0.3 * width < columns[maps].min()
    assert columns[maps].max() < 0.66 * width


def test_the_reference_is_the_last_column() -> None:
    view = AxialSlice(corner(), (1.0, 1.0), reference=corner())
    picture = pixels(recurrence_figure(np.zeros((40, 30, 4, 2)), view, CLASSES))
    bright = np.asarray([0.987053, 0.991438, 0.749504])
    columns = np.argwhere(np.abs(picture - bright).max(-1) < 0.01)[:, 1]
    maps = columns < 0.85 * picture.shape[1]
    assert maps.any()
    assert columns[maps].min() > 0.55 * picture.shape[1]


@pytest.mark.parametrize("name", ["a$b$", r"$\frac$"])
def test_class_names_are_shown_as_they_are(name: str) -> None:
    view = AxialSlice(corner(), (1.0, 1.0))
    assert contour_figure(view, {2: name}).startswith(b"\x89PNG")
    assert recurrence_figure(np.zeros((40, 30, 3, 1)), view, {2: name}).startswith(b"\x89PNG")


def test_the_same_slice_gives_the_same_bytes() -> None:
    view = AxialSlice(corner(), (1.0, 1.0), np.eye(40, 30))
    assert contour_figure(view, CLASSES) == contour_figure(view, CLASSES)
