"""Arguments and options that several commands of `kseg` share."""

from typing import Annotated

import typer

DEFAULT_BUNDLE = "brain_kspace_segmentation"

Bundle = Annotated[str, typer.Option(help="Name of a shipped bundle, or a bundle's folder.")]
