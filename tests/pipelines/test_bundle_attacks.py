"""Configurations that attack whoever loads their bundle.

Each carries a payload that leaves a trace when it runs, and is sealed as an attacker would: none may pass, and none
may leave its trace.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from kseg.pipelines.bundle_check import check_bundle
from kseg.pipelines.bundle_seal import seal_bundle

NETWORK = {
    "_target_": "kseg.networks.seranet.SERANet",
    "n_blocks": 1,
    "n_recurrences": 1,
    "n_filters": 4,
    "unet_channels": [4, 8],
}
INFERENCE = {
    "imports": ["$import os", "$import torch"],
    "bundle_root": ".",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
    "run": ["$@network_def.parameters()"],
}
Attack = Callable[[Path, Path], None]
RequireRefused = Callable[[Path, str, Path], None]


def write_config(root: Path, **items: object) -> None:
    (root / "configs/inference.json").write_text(json.dumps(INFERENCE | items))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle to be used, sealed; the folder has a name that code can hold."""
    root = tmp_path / "bundle"
    for folder in ("configs", "models"):
        (root / folder).mkdir(parents=True)
    write_config(root)
    (root / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0", "authors": "me"}))
    torch.save({"weight": torch.zeros(3)}, root / "models/model.pt")
    seal_bundle(root)
    return root


def touch(trace: Path) -> str:
    """Code that leaves the trace."""
    return f"open('{trace}', 'w').close()"


def item(value: Callable[[Path], object], key: str = "network_def") -> Attack:
    """An attack by one item of the inference configuration."""
    return lambda root, trace: write_config(root, **{key: value(trace)})


def target(name: str, /, **arguments: str) -> Attack:
    """An attack by a component; `{}` in an argument becomes the file that is the trace."""
    return item(
        lambda trace: {"_target_": name} | {key: value.format(trace) for key, value in arguments.items()}
    )


def expression(text: str, key: str = "network") -> Attack:
    """An attack by an expression; `{}` becomes code that leaves the trace, `<>` the trace."""
    return item(lambda trace: "$" + text.replace("{}", touch(trace)).replace("<>", str(trace)), key)


def beside(**items: object) -> Attack:
    """An attack by what stands beside the arguments of the network; `<>` in it becomes the file that is the trace."""
    return item(lambda trace: NETWORK | json.loads(json.dumps(items).replace("<>", str(trace))))


def key_that_is_code(root: Path, trace: Path) -> None:
    write_config(root, **{f"network_def, {touch(trace)}][0": {"b": "$[@#1]"}})


def reference_that_ends_a_text(root: Path, trace: Path) -> None:
    code = touch(trace).replace("'", '"')
    write_config(root, network=f"$'@f{{{code}}}@f'", f=1)


def key_that_ends_a_text(root: Path, trace: Path) -> None:
    write_config(root, network_def={**NETWORK, f"x' and [{touch(trace)}] and '": {"b": "$'%#c'"}})


TARGET = "the name of a class that bundles may use, received "
SAFE = "an expression of the safe subset, received "

ATTACKS: dict[str, tuple[Attack, str]] = {
    "a target": (target("os.system", command="touch {}"), TARGET + "'os.system'"),
    "a builtin": (target("eval"), TARGET + "'eval'"),
    "a module behind a module": (
        target("torch.serialization.os.system", command="touch {}"),
        TARGET + "'torch.serialization.os.system'",
    ),
    "behind kseg": (
        target("kseg.networks.warm_start.os.system", command="touch {}"),
        TARGET + "'kseg.networks.warm_start.os.system'",
    ),
    "behind MONAI": (
        target("monai.transforms.io.array.inspect.os.system", command="touch {}"),
        TARGET + "'monai.transforms.io.array.inspect.os.system'",
    ),
    "a bare name of MONAI": (target("run_cmd", cmd_list="touch {}"), TARGET + "'run_cmd'"),
    "another bundle": (target("monai.bundle.run", config_file="{}"), TARGET + "'monai.bundle.run'"),
    "another parser": (target("ConfigParser", config="{}"), TARGET + "'ConfigParser'"),
    "torch.hub": (target("torch.hub.load", repo_or_dir="{}"), TARGET + "'torch.hub.load'"),
    "torch.load": (target("torch.load", f="{}"), TARGET + "'torch.load'"),
    "torch.jit": (target("torch.jit.load", f="{}"), TARGET + "'torch.jit.load'"),
    "a compiler": (
        target("torch.utils.cpp_extension.load", name="{}"),
        TARGET + "'torch.utils.cpp_extension.load'",
    ),
    "an importer": (
        target("monai.utils.optional_import", module="{}"),
        TARGET + "'monai.utils.optional_import'",
    ),
    "a command of kseg": (target("kseg.pipelines.command.main"), TARGET + "'kseg.pipelines.command.main'"),
    "a writer of kseg": (target("kseg.transforms.nifti.write_nifti"), TARGET),
    "a loss from the internet": (
        target("PerceptualLoss"),
        re.escape("'PerceptualLoss' (it runs code from the internet)"),
    ),
    "a server": (target("MLFlowHandler"), re.escape("'MLFlowHandler' (it sends data to a server)")),
    "a target that is computed": (
        target("$__import__('os').system", command="touch {}"),
        TARGET + '"\\$__import__',
    ),
    "a target by reference": (target("@imports#0"), TARGET + "'@imports#0'"),
    "a target that is a component": (
        item(lambda trace: {"_target_": {"_target_": "os.system", "command": f"touch {trace}"}}),
        "'os.system'",
    ),
    "a target by override": (
        item(lambda trace: "os.system", "network_def#_target_"),
        TARGET + "'os.system' .* in 'network_def::_target_'",
    ),
    "a target by addition": (
        item(lambda trace: {"_target_": "os.system"}, "+train#handlers"),
        TARGET + "'os.system'",
    ),
    "a reader": (
        target("LoadImaged", keys="image", reader="os.system", command="touch {}"),
        TARGET + "'os.system'",
    ),
    "a reader that is computed": (
        target("LoadImaged", keys="image", reader="$'os' + '.system'"),
        TARGET + '"\\$',
    ),
    "a reader by override": (item(lambda trace: ["os.system"], "pre#transforms#0#reader"), TARGET),
    "a reader in a list": (item(lambda trace: "os.system", "pre#transforms#0#reader#1"), TARGET),
    "a reader as a key": (
        item(
            lambda trace: {
                "_target_": "LoadImaged",
                "keys": "image",
                "reader": {"os.system": 1},
                "command": f"touch {trace}",
            }
        ),
        TARGET + "{'os.system': 1}",
    ),
    "a writer": (target("SaveImaged", keys="pred", writer="os.system"), TARGET + "'os.system'"),
    "a merger": (target("PatchInferer", merger_cls="os.system"), TARGET + "'os.system'"),
    "a reader that is iterated": (
        beside(
            z={
                "_target_": "LoadImage",
                "reader": {"_target_": "IterableDataset", "data": ["os.system"]},
                "command": "touch <>",
            }
        ),
        TARGET + "{'_target_': 'IterableDataset'.* .no text. in 'network_def::z::reader'",
    ),
    "a reader in a collection": (
        beside(
            z={
                "_target_": "LoadImage",
                "reader": {"_target_": "torch.optim.lr_scheduler.Counter", "os.system": 1},
                "command": "touch <>",
            }
        ),
        TARGET + "{'_target_': 'torch.optim",
    ),
    "a reader by a key with spaces": (item(lambda trace: "os.system", "pre# reader #0"), TARGET),
    "a reader from behind": (item(lambda trace: "os.system", "pre#reader#-1"), TARGET),
    "a class as a function": (
        beside(
            zz={"_target_": "LoadImage", "_mode_": "callable", "command": "touch <>"},
            zy="$sorted(['os.system'], key=@network_def::zz)",
        ),
        "no switch of a protection, received _mode_ in 'network_def::zz::_mode_'",
    ),
    "a class as a transform": (
        beside(
            zz={"_target_": "LoadImage", "_mode_": "callable", "command": "touch <>"},
            zy={"_target_": "Dataset", "data": ["os.system"], "transform": "@network_def::zz"},
            zx="$@network_def::zy[0]",
        ),
        "no switch of a protection, received _mode_",
    ),
    "a function by reference": (
        expression("sorted(['<>'], key=@network_def)"),
        SAFE + "the function .* as `key`",
    ),
    "a compiler of its own": (
        beside(
            z={
                "_target_": "SupervisedEvaluator",
                "compile": True,
                "compile_kwargs": {"options": {"cpp.cxx": ["touch"]}},
            }
        ),
        "no switch of a protection, received compile_kwargs",
    ),
    "a transform of another package": (
        target("TorchVision", name="functional"),
        re.escape("'TorchVision' (it finds code by a text)"),
    ),
    "pickles allowed": (
        target("NumpyReader", allow_pickle="True"),
        "no switch of a protection, received allow_pickle",
    ),
    "trust given to itself": (
        target("kseg.pipelines.bundle.build_network", trust="True"),
        "no switch of a protection, received trust",
    ),
    "the debugger": (target("torch.nn.Identity", _mode_="debug"), "received _mode_"),
    "a breakpoint": (target("torch.nn.Identity", _debug_="True"), "received _debug_"),
    "an expression": (expression("{}"), SAFE + "the attribute 'close'"),
    "an import in an expression": (
        expression("__import__('os').system('true') or {}"),
        SAFE + "the name '__import__'|the attribute 'system'",
    ),
    "a condition": (expression("{}", "_disabled_"), SAFE),
    "a requirement": (item(lambda trace: {**NETWORK, "_requires_": [f"${touch(trace)}"]}), SAFE),
    "a module that is not imported": (expression("torch.os.system('touch <>')"), SAFE + "'torch.os.system'"),
    "subclasses": (expression("().__class__.__mro__[1].__subclasses__()"), SAFE + "the attribute"),
    "a frame": (
        expression("(x for x in [1]).gi_frame.f_builtins['open']('<>')"),
        SAFE + "a call of",
    ),
    "a formatted text": (expression('f"{{}}"'), SAFE + "the construct JoinedStr"),
    "a reference that ends a text": (
        reference_that_ends_a_text,
        SAFE + "the construct JoinedStr",
    ),
    "a key that ends a text": (key_that_ends_a_text, SAFE + "a relative reference"),
    "a key that is code": (key_that_is_code, SAFE + "a relative reference"),
    "a module by reference": (expression("@imports#0.system('touch <>')"), SAFE + "the attribute 'system'"),
    "a module under another name": (
        lambda root, trace: write_config(
            root, network=f"$@modules#0.system('touch {trace}')", modules=["$import os"]
        ),
        SAFE + "an import outside of `imports`",
    ),
    "a module as argument": (item(lambda trace: "@imports#0"), "received a reference to an imported module"),
    "a module by macro": (item(lambda trace: "%imports#0"), "received a reference to an imported module"),
    "a builtin in the place of a variable": (
        expression('[[0 for exec in [1]], sorted(["{}"], key=exec)]'),
        SAFE + "the variable 'exec'",
    ),
    "an assignment in a loop": (
        expression("[0 for @device in [{}]]"),
        SAFE + "an assignment to",
    ),
    "an assignment": (expression("(x := {})"), SAFE + "the construct NamedExpr"),
    "a lambda": (expression("lambda batch: {}"), SAFE + "the attribute 'close'"),
    "getattr": (expression("getattr(torch, 'hub')"), SAFE + "a call of 'getattr'"),
    "two statements": (expression("0; {}"), SAFE + "several statements"),
    "an import": (
        item(lambda trace: ["$import subprocess"], "imports"),
        SAFE + "the import 'import subprocess'",
    ),
    "an import under another name": (
        item(lambda trace: ["$import os as torch"], "imports"),
        SAFE + "the import 'import os as torch'",
    ),
    "an import in the place of a builtin": (
        item(lambda trace: ["$from os import system as len"], "imports"),
        SAFE + "the import",
    ),
    "an import elsewhere": (expression("import os"), SAFE + "an import outside of `imports`"),
    "the environment": (expression("os.environ['HOME']"), SAFE + "the environment variable"),
    "a macro of a file": (item(lambda trace: "%../other.json#x"), "a macro of this configuration, received"),
    "a macro of an absolute path": (
        item(lambda trace: f"%{trace}.json#x"),
        "a macro of this configuration, received",
    ),
    "an absolute path": (item(lambda trace: str(trace), "output_dir"), "received the absolute path"),
    "a path upwards": (
        item(lambda trace: "a/../../..", "output_dir"),
        "received the path 'a/../../..' upwards",
    ),
    "a path upwards in an expression": (expression("@bundle_root + '/../../x'"), SAFE + "the path"),
    "an address": (item(lambda trace: "https://example.org/x", "uri"), "received the address"),
}


@pytest.mark.parametrize(("attack", "message"), ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_refused_before_they_run(
    attack: Attack, message: str, bundle: Path, tmp_path: Path, require_refused: RequireRefused
) -> None:
    assert check_bundle(bundle) == []
    trace = tmp_path / "trace"
    attack(bundle, trace)
    seal_bundle(bundle)
    require_refused(bundle, message, trace)


@pytest.mark.parametrize(
    "name",
    [
        "a target",
        "a module behind a module",
        "behind kseg",
        "behind MONAI",
        "a target that is computed",
        "a target that is a component",
        "a reader",
        "a reader as a key",
        "a reader that is iterated",
        "a reader in a collection",
        "a class as a function",
        "a class as a transform",
        "a key that ends a text",
        "an expression",
        "an import in an expression",
        "a requirement",
        "a module that is not imported",
        "a formatted text",
        "a reference that ends a text",
        "a key that is code",
        "a module under another name",
        "a builtin in the place of a variable",
        "an assignment",
        "a lambda",
    ],
)
@pytest.mark.usefixtures("seeded")
@pytest.mark.filterwarnings("ignore")
def test_the_attacks_are_real(name: str, bundle: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    ATTACKS[name][0](bundle, trace)
    parser = ConfigParser(json.loads((bundle / "configs/inference.json").read_text()))
    changed = [key for key in parser.config if INFERENCE.get(key) != parser.config[key]]
    try:
        made = parser.get_parsed_content(f"{changed[0]}::b" if "'" in changed[0] else changed[0])
        if name == "a lambda":
            made(None)
    except (RuntimeError, TypeError, ValueError):
        pass  # what they do first is enough
    assert trace.exists()
