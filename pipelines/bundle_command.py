"""The `kseg bundle` commands: check a bundle before it is used, list its files, and average weights for one."""

from pathlib import Path
from typing import Annotated

import typer

bundle_app = typer.Typer(
    name="bundle",
    help="Check and seal bundles, average weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Bundle = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Name of a shipped bundle, or a bundle's folder.")
]


@bundle_app.command(epilog="Example: kseg bundle check downloads/some_bundle")
def check(bundle: Bundle) -> None:
    """Look for code and changed files in a bundle.

    Nothing of the bundle runs. Prints what was found, one line each, and ends with exit code 1 if anything was.
    """
    from kseg.pipelines.bundle_check import check_bundle
    from kseg.pipelines.bundle_files import MANIFEST
    from kseg.pipelines.bundle_folder import find_bundle
    from kseg.pipelines.digest import file_sha256

    root = find_bundle(bundle)
    findings = check_bundle(root)
    for finding in findings:
        typer.echo(str(finding))
    if findings:
        typer.echo(f"refused: {root}: {len(findings)} findings", err=True)
        raise typer.Exit(1)
    typer.echo(f"clean: {root}, {MANIFEST} {file_sha256(root / MANIFEST)}")


@bundle_app.command(epilog="Example: kseg bundle seal my_bundle")
def seal(bundle: Bundle) -> None:
    """List the files of a bundle with their SHA-256.

    Writes SHA256SUMS into the bundle, after which a file that changes is found by check. What lies in data/,
    eval/ and run/ does not count.
    """
    from kseg.pipelines.bundle_folder import find_bundle
    from kseg.pipelines.bundle_seal import seal_bundle

    root = find_bundle(bundle)
    typer.echo(f"sealed: {root}, SHA256SUMS {seal_bundle(root)}")


@bundle_app.command(epilog="Example: kseg bundle average run/epoch_*.pt --output my_bundle/models/model.pt")
def average(
    weights: Annotated[
        list[Path], typer.Argument(metavar="WEIGHTS...", help="Files of weights of one network.")
    ],
    output: Annotated[Path, typer.Option("--output", dir_okay=False, help="File to write.")],
) -> None:
    """Average the weights of several epochs of a training.

    A bundle whose weights are replaced has to be sealed again.
    """
    import torch

    from kseg.networks.mean_weights import mean_weights
    from kseg.transforms.atomic import atomic_path

    mean = mean_weights(weights)
    with atomic_path(output) as temporary:
        torch.save(mean, temporary)
    typer.echo(f"written: {output}, the mean of {len(weights)} files")
