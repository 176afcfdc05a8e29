"""One page that shows how good the segmentations of a folder are."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from kseg.pipelines.case_pictures import CaseSources, draw_case
from kseg.pipelines.charts import box_plots
from kseg.pipelines.evaluate import Failure, summary_path
from kseg.pipelines.find_segmentations import find_segmentations, match_references
from kseg.pipelines.metrics_summary import mean, summarise
from kseg.pipelines.metrics_table import MetricsRow, read_metrics
from kseg.pipelines.report_page import Drawing, Page, render_page
from kseg.transforms.atomic import atomic_path
from kseg.transforms.errors import InputError

logger = logging.getLogger(__name__)

_STAGE = "report"


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Args:
        n_cases: cases in the table.
        n_drawn: cases with a picture.
        failures: cases whose picture could not be drawn; the page shows the reason in its place.
    """

    n_cases: int
    n_drawn: int
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        """0: all done; 1: some pictures failed; 3: no case in the table, so nothing was written."""
        if self.n_cases == 0:
            return 3
        return 1 if self.failures else 0


def report(
    segmentations: Path,
    metrics: Path,
    output: Path,
    *,
    images: Path | None = None,
    contrast: str | None = None,
    references: Path | None = None,
    max_figures: int = 20,
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> Report:
    """Write one HTML page with the metrics of all cases and pictures of the worst.

    The page is self-contained: no script and nothing to fetch. A case whose picture cannot be drawn is named
    with the reason, and the others are drawn. What the evaluation could not do is read from its summary
    beside the table and said as well.

    Args:
        segmentations: folder that `kseg segment` wrote, with the reconstruction and the recurrences beside the
            segmentations where they were asked for.
        metrics: table that `evaluate` wrote.
        output: the HTML file, written atomically; its folder is made if need be.
        images: folder of `NAME.nii.gz` to draw on where there is no reconstruction.
        contrast: draw on `NAME_CONTRAST.nii.gz` instead, such as `FLAIR`.
        references: folder of reference label maps to draw beside.
        max_figures: how many cases are drawn, those with the lowest mean Dice first.
        progress: wraps the list of cases to draw, for example `tqdm`.

    Raises:
        InputError: a folder or the table does not exist, or the table or its summary is damaged.
        ValueError: max_figures is negative.
    """
    if max_figures < 0:
        raise ValueError(f"max_figures: expected 0 or more, received {max_figures}")
    for folder in (images, references):
        if folder is not None and not folder.is_dir():
            raise InputError(folder, _STAGE, "a folder", "a file" if folder.exists() else "nothing")
    table = _by_case(read_metrics(metrics))
    found = find_segmentations(segmentations)
    matched = {} if references is None else match_references(found, find_segmentations(references))
    sources = CaseSources(segmentations, found, matched, images, contrast)
    if not table:
        return Report(0, 0, ())
    failures, notes = _left_out(metrics)
    classes = summarise(row for rows in table.values() for row in rows)
    names = {item.class_id: item.class_name for item in classes}
    worst = sorted(table, key=lambda case: _mean_dice(table[case]))[:max_figures]
    drawings = [_draw(case, sources, names) for case in progress(worst)]
    page = Page(
        folder=segmentations.resolve().name,
        classes=classes,
        table=table,
        drawings=drawings,
        plots=box_plots([row for rows in table.values() for row in rows]),
        failures=failures,
        notes=notes,
    )
    undrawn = tuple(Failure(item.case, item.problem) for item in drawings if item.problem is not None)
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(output) as temporary:
        temporary.write_text(render_page(page), encoding="utf-8", errors="replace")
    return Report(len(table), len(drawings) - len(undrawn), undrawn)


def _by_case(rows: Iterable[MetricsRow]) -> dict[str, list[MetricsRow]]:
    table: dict[str, list[MetricsRow]] = {}
    for row in rows:
        table.setdefault(row.case, []).append(row)
    return table


def _mean_dice(rows: Iterable[MetricsRow]) -> float:
    dice = mean(row.metrics.dice for row in rows)
    return inf if dice is None else dice


def _draw(case: str, sources: CaseSources, classes: Mapping[int, str]) -> Drawing:
    try:
        return Drawing(case, pictures=draw_case(case, sources, classes))
    except (ValueError, OSError) as error:
        problem = " ".join(str(error).split())
        logger.error("%s: %s", case, problem)
        return Drawing(case, problem=problem)


def _left_out(metrics: Path) -> tuple[list[Failure], list[str]]:
    path = summary_path(metrics)
    if not path.is_file():
        return [], [
            f"{path.name} is not beside {metrics.name}: cases that could not be evaluated are not known."
        ]
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        failures = [Failure(str(item["case"]), str(item["reason"])) for item in summary["failures"]]
        notes = [f"{case} has no reference." for case in summary["predictions_without_reference"]]
        labels = ", ".join(str(label) for label in summary["ignored_labels"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, _STAGE, "the summary of an evaluation", f"{type(error).__name__}: {error}"
        ) from error
    return failures, notes + ([f"Labels that are no class: {labels}."] if labels else [])
