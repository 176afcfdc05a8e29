"""The picture of a study, read back from its pixels and from the words that are drawn."""

from collections.abc import Callable
from io import BytesIO
from math import exp, inf

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from kseg.pipelines.metrics import StructureMetrics
from kseg.pipelines.metrics_table import MetricsRow
from kseg.pipelines.study_figure import study_figure
from kseg.pipelines.study_table import PointResult, StudyPoint

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
MISSED = StructureMetrics(0.0, inf, inf, 0.0, 2.0)


def point(noise: float, fraction: float, *, n_heads: int = 2, missed: bool = False) -> PointResult:
    rows = []
    for head in range(n_heads):
        dice = 0.95 - noise - 0.2 * exp(-fraction / 0.2) - 0.02 * head
        found = StructureMetrics(dice, 9.0, 10 * (1 - dice), 2.0, 2.0)
        rows.append(MetricsRow(f"h{head}", 2, "GM", MISSED if missed and head == 0 else found))
    return PointResult(StudyPoint(noise, fraction), tuple(rows))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures as they were when they were saved."""
    figures: list[Figure] = []
    save: Callable[..., None] = Figure.savefig

    def remember(figure: Figure, *arguments: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    return figures


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_the_answer_can_be_read(drawn: list[Figure]) -> None:
    results = [point(noise, share) for noise in (0.05, 0.2) for share in FRACTIONS]
    png = study_figure(results, 0.85, "brain")
    said = words(drawn[0])
    # 0.89 - 0.2 exp(-f / 0.2) reaches 0.85 at f = 0.32, and 0.74 never does.
    assert "5% noise: 50% is enough" in said
    assert "20% noise: target not reached" in said
    assert "brain: mean of GM; 2 heads, bands from the lowest to the highest" in said
    assert "ring: cheapest scan with a mean Dice of at least 0.85" in said
    assert {"Dice", "Hausdorff distance, 95th percentile (mm)", "target", "0.85"} <= set(said.splitlines())
    assert labels(drawn[0]) == ["5", "10", "20", "30", "50", "100"]
    assert png == study_figure(results, 0.85, "brain")


def test_curve_and_band_are_the_means_and_the_heads(drawn: list[Figure]) -> None:
    results = [point(0.05, share) for share in FRACTIONS]
    study_figure(list(reversed(results)), 0.5, "brain")
    axes = drawn[0].axes[0]
    curve = next(line for line in axes.lines if len(line.get_xdata()) == len(FRACTIONS))
    x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert x.tolist() == list(FRACTIONS)
    assert y == pytest.approx(0.89 - 0.2 * np.exp(-x / 0.2))
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((y[0] - 0.01, y[-1] + 0.01))
    assert axes.collections[1].get_offsets().tolist() == [[0.05, pytest.approx(y[0])]]
    assert axes.get_ylim()[1] == 1.0
    assert drawn[0].axes[1].get_ylim()[0] == 0.0


def test_what_failed_is_a_gap_with_a_cross(drawn: list[Figure]) -> None:
    lacking = PointResult(StudyPoint(0.05, 0.2), (), ("h1",))
    results = [lacking if share == 0.2 else point(0.05, share) for share in FRACTIONS]
    study_figure(results, 0.85, "brain")
    axes = drawn[0].axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [0.2]
    curve = next(line for line in axes.lines if len(line.get_xdata()) == len(FRACTIONS))
    assert np.isnan(curve.get_ydata()).tolist() == [share == 0.2 for share in FRACTIONS]
    assert "cross: failed" in words(drawn[0])


def test_a_distance_without_all_structures_is_open(drawn: list[Figure]) -> None:
    study_figure([point(0.05, share, missed=share == 0.05) for share in FRACTIONS], 0.85, "brain")
    dice, distance = drawn[0].axes

    def open_points(axes: object) -> list[float]:
        lines = [line for line in axes.lines if line.get_marker() == "o"]  # type: ignore[attr-defined]
        return [line.get_xdata()[0] for line in lines if line.get_markerfacecolor() == "white"]

    assert open_points(dice) == []
    assert open_points(distance) == [0.05]
    assert "open: a structure is missing, its distance is left out" in words(drawn[0])


def test_small_distances_stay_apart_beside_large_ones(drawn: list[Figure]) -> None:
    def head(distance_mm: float) -> tuple[MetricsRow, ...]:
        return (MetricsRow("h", 2, "GM", StructureMetrics(0.9, 90.0, distance_mm, 2.0, 2.0)),)

    shares = {0.1: 42.0, 0.3: 2.0, 0.5: 1.0, 1.0: 0.0}
    study_figure([PointResult(StudyPoint(0.1, f), head(mm)) for f, mm in shares.items()], 0.85, "brain")
    axes = drawn[0].axes[1]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "1", "2", "3", "5", "10", "20", "50"]
    heights = axes.transAxes.inverted().transform(
        axes.transData.transform([[1, mm] for mm in shares.values()])
    )
    gaps = -np.diff(heights[:, 1])
    assert gaps.min() > 0.1
    assert 0.0 <= heights.min() < heights.max() < 0.98


def test_labels_of_many_shares_stay_apart_and_show_the_answer(drawn: list[Figure]) -> None:
    shares = [number / 40 for number in range(2, 41)]
    study_figure([point(0.05, share) for share in shares], 0.85, "brain")
    shown = [float(label) for label in labels(drawn[0])]
    ratios = np.diff(np.log(shown))
    assert ratios.min() > 0.15
    assert {5.0, 100.0} <= set(shown)
    # 0.32 rounded up to the grid
    assert "5% noise: 32.5% is enough" in words(drawn[0])
    assert 32.5 in shown


@pytest.mark.parametrize("n_noises", [1, 3, 7])
def test_nothing_is_cut_off_at_the_edges(n_noises: int) -> None:
    results = [point(0.03 * number, share) for number in range(n_noises) for share in FRACTIONS]
    image = matplotlib.image.imread(BytesIO(study_figure(results, 0.85, "brain_kspace_segmentation")))
    assert image.shape == (780, 1650, 4)
    edges = image[0, :, :3], image[-1, :, :3], image[:, 0, :3], image[:, -1, :3]
    assert all((edge == 1).all() for edge in edges)


def test_one_point_of_one_head_is_enough(drawn: list[Figure]) -> None:
    study_figure([point(0.1, 0.3, n_heads=1)], 0.5, "a$b$")
    assert "a$b$: mean of GM; one head" in words(drawn[0])
