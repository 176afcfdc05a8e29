"""What setup.cfg promises: the packages it lists, the versions it allows, the wheel it builds."""

import configparser
import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("transforms", "networks", "pipelines", "bundles")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def declared() -> list[Requirement]:
    parser = configuration()
    listed = parser["options"]["install_requires"].split("\n")
    for extra in parser["options.extras_require"].values():
        listed += extra.split("\n")
    return [Requirement(line) for line in listed if line]


def pins(python: str) -> dict[str, list[Requirement]]:
    """The constraints that hold under Linux with this Python, by canonical name."""
    environment = {"python_version": python, "sys_platform": "linux", "extra": ""}
    held: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(environment):
                held.setdefault(canonicalize_name(pin.name), []).append(pin)
    return held


def test_listed_packages_are_the_rooms_of_the_tree() -> None:
    options = configuration()["options"]
    folders = dict(line.split(" = ") for line in options["package_dir"].split("\n") if line)
    assert options["packages"].split() == list(folders)
    assert folders == {"kseg": "src/kseg"} | {f"kseg.{room}": room for room in ROOMS}
    outside = {".ci", "benchmarks", "build", "docs", "src", "tests"}
    initialised = {path.parent.name for path in ROOT.glob("*/__init__.py")} - outside
    assert initialised == set(ROOMS)


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_one_allowed_version_of_every_dependency(python: str) -> None:
    held = pins(python)
    unpinned = [r.name for r in declared() if len(held.get(canonicalize_name(r.name), [])) != 1]
    assert unpinned == []
    twice_or_loose = [
        str(pin)
        for found in held.values()
        for pin in found
        if len(found) > 1 or [clause.operator for clause in pin.specifier] != ["=="]
    ]
    assert twice_or_loose == []
    disallowed = [
        f"{requirement} but {pin}"
        for requirement in declared()
        for pin in held[canonicalize_name(requirement.name)]
        if not requirement.specifier.contains(next(iter(pin.specifier)).version)
    ]
    assert disallowed == []


def test_constraints_cover_what_the_dependencies_bring_along() -> None:
    held = pins(f"{sys.version_info.major}.{sys.version_info.minor}")
    waiting = [canonicalize_name(requirement.name) for requirement in declared()]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            brought = map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        for requirement in brought:
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    # A CUDA build of torch pins these itself.
    gpu = ("nvidia-", "cuda-", "triton")
    assert sorted(name for name in seen - set(held) if not name.startswith(gpu)) == []


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the wheel that is built from the source archive that is built from a copy of the tree."""
    # In a copy, because setuptools would put what an old build/ folder still holds into the wheel.
    folder = tmp_path_factory.mktemp("distribution")
    made = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "_build", "generated")
    tree = shutil.copytree(ROOT, folder / "tree", ignore=made)
    build = f"import setuptools.build_meta as backend; print(backend.build_sdist({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (archive,) = folder.glob("kseg-*.tar.gz")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(archive)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (wheel,) = folder.glob("kseg-*.whl")
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_wheel_holds_the_rooms_whole_and_nothing_else(wheel_names: set[str]) -> None:
    expected = {"kseg/__init__.py", "kseg/py.typed"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            parts = path.relative_to(ROOT / room).parts
            left_by_training = "eval" in parts or (parts[1:2] == ("models",) and path.name != "model.pt")
            if path.is_file() and "__pycache__" not in parts and not left_by_training:
                expected.add("/".join(("kseg", room, *parts)))
    assert wheel_names == expected


def test_versions_with_known_holes_are_excluded() -> None:
    floors = {requirement.name: requirement.specifier for requirement in declared()}
    # MONAI before 1.6.1 and PyTorch before 2.10 run code of bundles, images and weights that they only ought to read.
    assert not floors["monai"].contains("1.6.0")
    assert not floors["torch"].contains("2.9.1")
