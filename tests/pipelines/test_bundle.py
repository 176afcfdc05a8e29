import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from kseg.networks.segnetmri import SegNetMRI
from kseg.networks.seranet import SERANet
from kseg.pipelines.bundle import build_network, load_network
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.transforms.errors import InputError

SMALL = {
    "_target_": "kseg.networks.seranet.SERANet",
    "n_blocks": 1,
    "n_recurrences": 1,
    "n_filters": 4,
    "unet_channels": [4, 8],
}


@pytest.fixture
def bundle(tmp_path: Path, seeded: None) -> Path:
    """The folder of a small bundle with weights."""
    root = tmp_path / "small_bundle"
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs/inference.json").write_text(json.dumps({"network_def": SMALL, "output_dir": "."}))
    (root / "configs/metadata.json").write_text(json.dumps({"version": "1.2.3"}))
    torch.save(build_network(str(root)).state_dict(), root / "models/model.pt")
    seal_bundle(root)
    return root


def refused(path: Path, message: str):
    return pytest.raises(InputError, match="^" + re.escape(f"{path}: {message}"))


def test_a_loaded_network_has_the_weights_of_its_bundle(bundle: Path):
    before = torch.get_rng_state()
    network = load_network(str(bundle))
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in network.modules())
    weights = torch.load(bundle / "models/model.pt", weights_only=True)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_a_network_is_made_as_defined_save_for_what_is_overridden(bundle: Path):
    defined, joint = build_network(str(bundle)), build_network(str(bundle), {"n_recurrences": 0})
    assert isinstance(defined, SERANet)
    assert isinstance(joint, SERANet)
    assert (defined.n_recurrences, joint.n_recurrences) == (1, 0)
    assert len(joint.reconstruction.blocks) == len(defined.reconstruction.blocks) == 1


def test_another_network_takes_what_it_knows_of_the_definition(bundle: Path):
    other = {"_target_": "kseg.networks.segnetmri.SegNetMRI", "n_blocks": 2}
    network = build_network(str(bundle), other, without=["n_recurrences", "unet_channels"])
    assert isinstance(network, SegNetMRI)
    assert len(network.reconstruction.blocks) == 2
    assert network.reconstruction.blocks[0].encoder.levels[0][0].out_channels == 4
    with refused(
        bundle / "configs/inference.json", "read bundle: expected a network_def that makes a network"
    ):
        build_network(str(bundle), other)


def test_weights_are_never_optional(bundle: Path):
    weights = bundle / "models/model.pt"
    torch.save(nn.Linear(2, 2).state_dict(), weights)
    seal_bundle(bundle)
    with refused(weights, "load weights: expected the "):
        load_network(str(bundle))
    weights.unlink()
    with refused(weights, "load weights: expected a file, received No such file"):
        load_network(str(bundle), trust=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "read bundle: expected a file, received No such file"),
        ("", "read bundle: expected a file with content, received an empty file"),
        ("{'a': 1}", "read bundle: expected JSON, received 'JSONDecodeError: Expecting property name"),
        ("[1]", "read bundle: expected a JSON object, received list"),
    ],
)
def test_configurations_that_cannot_be_read_are_refused(content: str | None, message: str, bundle: Path):
    path = bundle / "configs/inference.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with refused(path, message):
        load_network(str(bundle), trust=True)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (None, "expected a network_def, received None"),
        (
            {"_target_": "kseg.networks.nothing.Net"},
            "expected a network_def that makes a network, received Mod",
        ),
        ({"_target_": "pathlib.Path"}, "expected a network_def that makes a network, received PosixPath"),
        (
            {**SMALL, "n_classes": 1},
            "expected a network_def that makes a network, received ValueError: SERANet: ",
        ),
        ({**SMALL, "n_recurences": 0}, "expected a network_def that makes a network, received TypeError: "),
    ],
)
def test_definitions_that_make_no_network_are_refused(definition: object, message: str, bundle: Path):
    path = bundle / "configs/inference.json"
    path.write_text(json.dumps({"network_def": definition}))
    with refused(path, f"read bundle: {message}") as error:
        build_network(str(bundle), trust=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"_target_": "os.system", "command": "touch {}"}, "the name of a class that bundles may use"),
        ({"_target_": "torch.nn.Identity", "x": "$open('{}', 'w').close()"}, "an expression of the safe sub"),
        ({"x": {"_target_": "os.system", "command": "touch {}"}}, "the name of a class that bundles may use"),
        ({"x": "%{}.json#x"}, "a macro of this configuration"),
    ],
)
def test_overrides_that_are_put_together_as_code_do_not_run(
    overrides: dict, message: str, bundle: Path, tmp_path: Path
):
    # As a configuration can: 'os.' + 'system' is a text like any other until a network is made of it.
    trace = tmp_path / "trace"
    filled = json.loads(json.dumps(overrides).replace("{}", str(trace)))
    with refused(bundle / "configs/inference.json", f"check bundle: expected {message}"):
        build_network(str(bundle), filled)
    assert not trace.exists()


def test_a_bundle_that_changed_is_refused_unless_it_is_trusted(bundle: Path):
    path = bundle / "configs/metadata.json"
    path.write_text(json.dumps({"version": "1.2.4"}))
    with refused(path, "check bundle: expected the file that was sealed, received another content; --trust "):
        load_network(str(bundle))
    load_network(str(bundle), trust=True)
    seal_bundle(bundle)
    load_network(str(bundle))
