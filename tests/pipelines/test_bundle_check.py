"""Files of bundles that attack whoever loads them; see test_bundle_attacks.py for what configurations say."""

import contextlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kseg.pipelines.bundle import load_network
from kseg.pipelines.bundle_check import check_bundle, require_trusted
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.config_check import check_config, check_metadata
from kseg.pipelines.config_file import read_plain
from kseg.transforms.errors import InputError

SHIPPED = sorted(
    path.parent for path in Path(find_bundle("brain_kspace_segmentation")).parent.glob("*/configs")
)
NETWORK = {"_target_": "kseg.networks.seranet.SERANet", "n_blocks": 1, "unet_channels": [4, 8]}
LOGGING = """[loggers]
keys=root
[handlers]
keys=x
[formatters]
keys=
[logger_root]
level=INFO
handlers=x
[handler_x]
class={}
args={}
"""

Attack = Callable[[Path, Path], None]
RequireRefused = Callable[[Path, str, Path], None]


class Payload:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.trace}",))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle to be used, sealed; the folder has a name that code can hold."""
    root = tmp_path / "bundle"
    for folder in ("configs", "models", "docs"):
        (root / folder).mkdir(parents=True)
    (root / "configs/inference.json").write_text(json.dumps({"network_def": NETWORK}))
    (root / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0", "authors": "me"}))
    (root / "configs/logging.conf").write_text(LOGGING.format("StreamHandler", "(sys.stdout,)"))
    (root / "docs/README.md").write_text("# A bundle\n")
    torch.save({"weight": torch.zeros(3)}, root / "models/model.pt")
    seal_bundle(root)
    return root


def file(name: str, text: str) -> Attack:
    """An attack by a file of text; `{}` becomes the trace."""

    def write(root: Path, trace: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text.replace("{}", str(trace)))

    return write


def logging(class_: str, arguments: str) -> Attack:
    """An attack by the handler of the logging configuration."""
    return file("configs/logging.conf", LOGGING.format(class_, arguments))


def pickled(root: Path, trace: Path) -> None:
    torch.save({"weight": Payload(trace)}, root / "models/model.pt")


def pickled_by_stack(root: Path, trace: Path) -> None:
    torch.save({"weight": Payload(trace)}, root / "models/model.pt", pickle_protocol=4)


def bare_pickle(root: Path, trace: Path) -> None:
    (root / "models/model.pt").write_bytes(pickle.dumps(Payload(trace)))


def packed(root: Path, trace: Path) -> None:
    with zipfile.ZipFile(root / "models/model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}, 2))
        archive.writestr("model/data/0", bytes(10**7))


def overlapping(root: Path, trace: Path) -> None:
    torch.save({"weight": torch.zeros(10**5)}, root / "models/model.pt")
    content = (root / "models/model.pt").read_bytes()
    size = (4 * 10**5).to_bytes(4, "little")
    (root / "models/model.pt").write_bytes(content.replace(size, (2**30).to_bytes(4, "little")))


def scripted(root: Path, trace: Path) -> None:
    with zipfile.ZipFile(root / "models/model.pt", "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}, 2))
        archive.writestr("model/code/__torch__.py", "def forward(self): pass")


def not_tensors(root: Path, trace: Path) -> None:
    torch.save({"weight": "text"}, root / "models/model.pt")


def link(name: str, to: Callable[[Path], Path]) -> Attack:
    def make(root: Path, trace: Path) -> None:
        (root / name).symlink_to(to(root))

    return make


def outside(root: Path) -> Path:
    (root.parent / "outside.json").write_text("{}")
    return root.parent / "outside.json"


SAFE = "an expression of the safe subset, received "
HANDLER = "a handler that writes to a standard stream, received "


ATTACKS: dict[str, tuple[Attack, str]] = {
    "another configuration": (
        file("configs/methods/other.json", "{\"x\": \"$open('{}', 'w')\"}"),
        "methods/other.json: .*" + SAFE,
    ),
    "YAML": (file("configs/other.yaml", "x: $open('{}', 'w')\n"), "other.yaml: .*" + SAFE),
    "a tag of YAML": (
        file("configs/other.yml", "x: !!python/object/apply:os.system ['touch {}']\n"),
        "plain YAML, received the tag",
    ),
    "YAML that expands": (
        file("configs/other.yaml", "a: &a [x, x]\nb: &b [*a, *a]\n"),
        "plain YAML, received an anchor",
    ),
    "a key twice": (
        file("configs/other.json", '{"a": {"_target_": "os.system", "_target_": "torch.nn.ReLU"}}'),
        "received the key '_target_' twice",
    ),
    "nesting": (file("configs/other.json", "[" * 10**5), "other.json: check bundle: expected JSON, received"),
    "a large configuration": (
        file("configs/other.json", " " * 300_000),
        "at most 262144 bytes, received 300000",
    ),
    "metadata": (
        file("configs/metadata.json", "{\"version\": \"$open('{}', 'w')\"}"),
        "metadata without expressions",
    ),
    "a target in metadata": (
        file("configs/metadata.json", '{"x": {"_target_": "os.system"}}'),
        "metadata without .*targets",
    ),
    "downloads": (
        file(
            "large_files.yml",
            "large_files: [{path: ../x, url: 'file:///x', hash_val: '', hash_type: sha256}]",
        ),
        "a path in the bundle, received '../x'",
    ),
    "a log file": (logging("FileHandler", "('{}', 'w')"), HANDLER + "'FileHandler'"),
    "a log over the network": (
        logging("logging.handlers.SocketHandler", "('localhost', 9)"),
        HANDLER + "'logging.handlers.SocketHandler'",
    ),
    "a handler that is code": (logging("eval", "(\"open('{}', 'w')\",)"), HANDLER + "'eval'"),
    "code in a handler": (
        logging("StreamHandler", "(open('{}', 'w'),)"),
        "standard output or error as argument, received",
    ),
    "a pickle": (pickled, "tensors by name, received a pickle that calls '(posix|nt).system'"),
    "a newer pickle": (pickled_by_stack, "received a pickle that imports by STACK_GLOBAL"),
    "a bare pickle": (bare_pickle, "an archive of tensors, received a file of another kind"),
    "packed weights": (packed, "an archive that is not compressed"),
    "weights that overlap": (overlapping, "an archive that is not compressed, received more than"),
    "a program as weights": (scripted, "an archive of tensors, received 'model/code/__torch__.py'"),
    "no tensors": (not_tensors, "expected tensors by name, received 'weight of type str'"),
    "TorchScript": (file("models/model.ts", "x"), "model.ts: .* received TorchScript, which is code"),
    "Python": (file("scripts/__init__.py", "open('{}', 'w')"), "__init__.py: .* received Python"),
    "a library": (file("torch.so", "x"), "torch.so: .* received binary code"),
    "an unknown kind": (file("docs/a.html", "x"), "a file of a bundle, received the kind '.html'"),
    "a link that leaves": (
        link("configs/other.json", outside),
        "other.json: .* received a link that leaves the bundle",
    ),
    "a link to a folder": (link("docs/all", lambda root: root / "configs"), "received a link to a folder"),
    "a link to nothing": (link("docs/a.md", lambda root: root / "b.md"), "received a link to nothing"),
    "a pipe": (lambda root, trace: os.mkfifo(root / "configs/a.json"), "received a device or pipe"),
    "a name of two lines": (file("docs/a\nb.md", "x"), r"received the name 'docs/a\\nb.md'"),
}


@pytest.mark.parametrize("bundle_path", SHIPPED, ids=lambda path: path.name)
def test_shipped_bundles_are_clean_and_their_lists_are_fresh(bundle_path: Path) -> None:
    # Whoever changes a file of a bundle renews its list: kseg bundle seal bundles/NAME
    assert [str(finding) for finding in check_bundle(bundle_path)] == []


@pytest.mark.parametrize(("attack", "message"), ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_refused_before_they_run(
    attack: Attack, message: str, bundle: Path, tmp_path: Path, require_refused: RequireRefused
) -> None:
    assert check_bundle(bundle) == []
    trace = tmp_path / "trace"
    attack(bundle, trace)
    with contextlib.suppress(InputError):  # what cannot be sealed cannot be hidden by sealing either
        seal_bundle(bundle)
    require_refused(bundle, message, trace)


@pytest.mark.parametrize("name", ["a pickle", "a newer pickle"])
def test_the_pickles_are_real(name: str, bundle: Path, tmp_path: Path) -> None:
    ATTACKS[name][0](bundle, tmp_path / "trace")
    torch.load(bundle / "models/model.pt", weights_only=False)
    assert (tmp_path / "trace").exists()


def test_configurations_are_checked_without_loading_pytorch() -> None:
    program = (
        "import sys\n"
        "from kseg.pipelines.bundle_folder import find_bundle\n"
        "from kseg.pipelines.config_check import check_config\n"
        "from kseg.pipelines.config_file import read_plain\n"
        "import kseg.pipelines.bundle_check\n"
        "path = find_bundle('brain_kspace_segmentation') / 'configs/train.json'\n"
        "print(check_config(read_plain(path, 's'), path, 's'), 'torch' in sys.modules, 'monai' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False", "False"]


def test_what_is_trusted_is_loaded_all_the_same(bundle: Path) -> None:
    (bundle / "docs/README.md").write_text("changed")
    message = "README.md: check bundle: expected the file that was sealed, received another content; --trust"
    with pytest.raises(InputError, match=message):
        load_network(str(bundle))
    # Further than the check: the weights are those of nothing.
    with pytest.raises(InputError, match=r"load weights: expected the .* tensors of SERANet"):
        load_network(str(bundle), trust=True)


def test_the_first_finding_tells_how_many_follow(bundle: Path) -> None:
    for name in ("a", "b", "c"):
        (bundle / "docs" / f"{name}.md").write_text("x")
    with pytest.raises(InputError, match=r"a\.md: .* and 2 more findings of `kseg bundle check`; --trust"):
        require_trusted(bundle)


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """Cut, overwrite or repeat something, or put in what has a meaning in configurations."""
    start, stop = sorted(generator.integers(0, len(content) + 1, 2).tolist())
    stop = min(stop, start + 40)
    pieces = [
        b"$",
        b"@",
        b"%",
        b"#",
        b"::",
        b'"',
        b"[",
        b"{",
        b"}",
        b"\\ud800",
        b"_target_",
        b"\x00",
        b"1e999",
        b"'@f",
    ]
    kind = int(generator.integers(4))
    put = (b"", pieces[int(generator.integers(len(pieces)))], content[start:stop] * 3, generator.bytes(3))[
        kind
    ]
    return content[:start] + put + content[stop if kind != 1 else start :]


@pytest.mark.parametrize("name", ["inference.json", "train.json", "metadata.json", "multi_gpu_train.json"])
def test_damaged_configurations_end_in_findings(name: str, tmp_path: Path) -> None:
    original = (find_bundle("brain_kspace_segmentation") / "configs" / name).read_bytes()
    generator = np.random.default_rng(len(original))
    path, refused = tmp_path / name, 0
    for _ in range(300):
        content = original
        for _ in range(int(generator.integers(1, 4))):
            content = mutated(content, generator)
        path.write_bytes(content)
        # JSON is YAML too, nearly.
        path.rename(path := path.with_suffix(".json" if generator.integers(2) else ".yaml"))
        try:
            check = check_metadata if name == "metadata.json" else check_config
            findings = check(read_plain(path, "s"), path, "s")
        except InputError as error:
            findings = [error]
        refused += bool(findings)
        assert all(str(finding).isprintable() for finding in findings)
    assert refused > 100
