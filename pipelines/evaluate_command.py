"""The commands that compare segmentations with references: `kseg evaluate` and `kseg report`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kseg.pipelines.command_options import DEFAULT_BUNDLE
from kseg.pipelines.progress import progress


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(metavar="PREDICTIONS", help="Folder of NAME_seg.nii.gz, in BIDS NAME_dseg.nii.gz."),
    ],
    references: Annotated[
        Path, typer.Argument(metavar="REFERENCES", help="Folder of NAME.nii.gz, or of names like these.")
    ],
    output: Annotated[Path, typer.Option("--output", dir_okay=False, help="Table to write.")] = Path(
        "metrics.csv"
    ),
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of the bundle whose classes are compared.",
            show_default=f"the one that made PREDICTIONS, else {DEFAULT_BUNDLE}",
        ),
    ] = None,
    lesions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="Count the lesions of this class as well; may be given again.",
            show_default="none",
        ),
    ] = None,
    smallest_lesion: Annotated[
        float | None,
        typer.Option(min=0, help="Cubic millimetres below which there is no lesion.", show_default="3"),
    ] = None,
) -> None:
    """Compare segmentations with references.

    Writes Dice, IoU, Hausdorff distance and volume of each case and class of the bundle, and prints their means.
    Where probabilities lie beside the segmentations, prints their calibration error too. With --lesions, prints
    how many lesions were found and how many were made up.
    """
    from kseg.pipelines.evaluate import bundle_classes, recorded_classes
    from kseg.pipelines.evaluate import evaluate as evaluate_folders
    from kseg.pipelines.metrics_lesions import SMALLEST_MM3, LesionRule
    from kseg.pipelines.summary_text import summary_text

    if smallest_lesion is not None and not lesions:
        raise ValueError("--smallest-lesion: expected --lesions CLASS beside it, received none")
    smallest_mm3 = SMALLEST_MM3 if smallest_lesion is None else smallest_lesion
    made_by = recorded_classes(predictions) if bundle is None else None
    evaluation = evaluate_folders(
        predictions,
        references,
        output,
        classes=made_by or bundle_classes(bundle or DEFAULT_BUNDLE),
        lesions=LesionRule(tuple(lesions or ()), smallest_mm3),
        progress=partial(progress, stage="evaluate"),
    )
    if evaluation.exit_code != 3:
        typer.echo(summary_text(evaluation.classes))
        if evaluation.calibration is not None:
            typer.echo(str(evaluation.calibration))
        typer.echo(f"written: {output}")
    else:
        typer.echo(f"kseg: nothing to do: no pair of files in {predictions} and {references}", err=True)
    raise typer.Exit(evaluation.exit_code)


def report(
    segmentations: Annotated[
        Path, typer.Argument(metavar="SEGMENTATIONS", help="Folder that kseg segment wrote.")
    ],
    metrics: Annotated[Path, typer.Argument(metavar="METRICS", help="Table that kseg evaluate wrote.")],
    output: Annotated[Path, typer.Option("--output", dir_okay=False, help="Page to write.")] = Path(
        "report.html"
    ),
    images: Annotated[Path | None, typer.Option(help="Folder of NAME.nii.gz to draw on.")] = None,
    contrast: Annotated[
        str | None, typer.Option(help="Draw on NAME_CONTRAST.nii.gz, such as FLAIR, instead.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder of references, as kseg evaluate takes it.")
    ] = None,
    max_figures: Annotated[int, typer.Option(min=0, help="Cases that are drawn, worst first.")] = 20,
) -> None:
    """Write one HTML page with tables and pictures.

    The page stands alone: no script, nothing to fetch.
    """
    from kseg.pipelines.report import report as write_report

    if contrast is not None and images is None:
        raise ValueError("--contrast: expected --images FOLDER beside it, received none")
    result = write_report(
        segmentations,
        metrics,
        output,
        images=images,
        contrast=contrast,
        references=references,
        max_figures=max_figures,
        progress=partial(progress, stage="report"),
    )
    if result.exit_code == 3:
        typer.echo(f"kseg: nothing to do: no case in {metrics}", err=True)
    else:
        typer.echo(f"written: {output}")
    raise typer.Exit(result.exit_code)
