"""Sphinx configuration."""

import re
from typing import Any

import kseg

project = "kseg"
author = "The kseg contributors"
project_copyright = f"2026, {author}"
release = version = kseg.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"kseg {release}"

myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Reference", "References")]
default_role = "literal"

LITERAL = re.compile(r"(``.*?``|`[^`]*`)")
MARKUP = re.compile(r"[|*]|_(?=\W|$)")


def escape_formulas(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escape what is a formula to a reader and markup to Sphinx.

    Docstrings are written for the terminal: |s_j|^2, T2*, a * b. Examples and literals stay as they are.
    """
    in_example = False
    for number, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            parts = LITERAL.split(line)
            parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def setup(app: Any) -> None:
    """Escape before napoleon, which listens at 500, adds markup of its own."""
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)
