"""The shape of the tree: who may import whom, what lies where, how long things may get."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "transforms": {"transforms"},
    "networks": {"transforms", "networks"},
    "pipelines": {"transforms", "networks", "pipelines", "bundles"},
    "bundles": set[str](),
}
MODULES = sorted(path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def imported_names(source: str) -> Iterator[str]:
    """Full dotted name of everything that the source imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def forbidden_imports(room: str, source: str) -> list[str]:
    """The imports that a module of this room may not make."""
    forbidden = []
    for name in imported_names(source):
        first, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        bare_or_relative = first == "" or first in {*MAY_IMPORT, "tests"}
        upward = first == "kseg" and target in MAY_IMPORT and target not in MAY_IMPORT[room]
        if bare_or_relative or upward:
            forbidden.append(name)
    return forbidden


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("transforms", "from kseg.networks.seranet import SERANet"),
        ("transforms", "from kseg import pipelines"),
        ("networks", "import kseg.pipelines.segment"),
        ("networks", "def late():\n    from kseg.pipelines import segment"),
        ("pipelines", "import transforms.fourier"),
        ("pipelines", "from .segment import segment"),
        ("pipelines", "from tests.conftest import heads"),
        ("bundles", "from kseg.transforms.fourier import fft2c"),
    ],
)
def test_the_import_rule_sees_each_kind_of_breach(room: str, source: str) -> None:
    assert len(forbidden_imports(room, source)) == 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_downwards_by_full_name(path: Path) -> None:
    assert forbidden_imports(path.relative_to(ROOT).parts[0], path.read_text(encoding="utf-8")) == []


def test_everything_imported_is_a_declared_dependency() -> None:
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    optional = configuration["options.extras_require"]["ray"]
    listed = [*configuration["options"]["install_requires"].split(), *optional.split()]
    files = [file for line in listed for file in importlib.metadata.files(Requirement(line).name) or []]
    known = {"kseg"} | sys.stdlib_module_names | {file.parts[0].partition(".")[0] for file in files}
    undeclared = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in MODULES
        for name in imported_names(path.read_text())
        if name.partition(".")[0] not in known
    ]
    assert undeclared == []


def test_importing_kseg_imports_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import kseg; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["kseg"]


def test_rooms_are_flat_and_bundles_hold_no_code() -> None:
    nested = [path for path in MODULES if path.parent.parent != ROOT]
    assert nested == []
    assert [path.name for path in (ROOT / "bundles").glob("*.py")] == ["__init__.py"]
    assert sorted(path.name for path in (ROOT / "src/kseg").glob("*.*")) == ["__init__.py", "py.typed"]


def test_no_room_for_leftovers() -> None:
    vague = re.compile(r"(^|_)(utils?|commons?|helpers?|misc|parts)(_|$)")
    assert [path for path in MODULES if vague.search(path.stem)] == []


@pytest.mark.parametrize("room", ["transforms", "networks", "pipelines"])
def test_every_module_has_its_test_file(room: str) -> None:
    modules = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).glob("test_*.py")}
    assert modules - tested == set()


def test_files_and_functions_stay_short(project_files: list[Path]) -> None:
    long = []
    for path in project_files:
        if path.suffix != ".py":
            continue
        source = path.read_text()
        if len(source.splitlines()) > LONGEST_FILE:
            long.append(f"{path.relative_to(ROOT)}: {len(source.splitlines())} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                length = 1 + (node.end_lineno or 0) - body[0].lineno if body else 0
                if length > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}: {length} lines")
    assert long == []


def test_the_text_names_no_path_of_one_machine(project_files: list[Path]) -> None:
    personal = re.compile(r"(?<![\w.<])/(home|root|Users|work)\b")
    beside = re.compile(r"\.\./shared")
    found = []
    for path in project_files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        allowed_beside = path == ROOT / ".ci/run"
        for number, line in enumerate(text.splitlines(), 1):
            if personal.search(line) or (beside.search(line) and not allowed_beside):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []
