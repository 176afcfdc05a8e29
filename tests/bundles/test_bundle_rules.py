"""What the model zoo asks of a bundle before it takes it, and what MONAI's tools ask of its configurations."""

import json
import pydoc
import re
from pathlib import Path

import jsonschema
import pytest
from ignite.engine import Engine
from monai.bundle import ComponentLocator, ConfigParser
from packaging.requirements import Requirement

from kseg import __version__
from kseg.pipelines.bundle import load_network
from kseg.pipelines.provenance import read_provenance

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent for path in (ROOT / "bundles").glob("*/configs"))
SCHEMA = json.loads(Path(__file__).with_name("meta_schema_20240725.json").read_text())
CONFIGS = ("train", "evaluate", "inference", "multi_gpu_train", "multi_gpu_evaluate")
LARGEST = 25_000_000

each_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


def metadata(bundle: Path) -> dict:
    return json.loads((bundle / "configs" / "metadata.json").read_text())


def texts(content: object) -> list[str]:
    if isinstance(content, dict):
        return [text for item in content.items() for text in texts(list(item))]
    if isinstance(content, list):
        return [text for item in content for text in texts(item)]
    return [content] if isinstance(content, str) else []


@each_bundle
def test_required_files_are_there(bundle: Path) -> None:
    configs = [f"configs/{name}.json" for name in (*CONFIGS, "metadata")]
    others = ["LICENSE", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"]
    assert [name for name in configs + others if not (bundle / name).is_file()] == []
    assert (bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert [path for path in bundle.rglob("*") if path.is_file() and path.stat().st_size > LARGEST] == []


@each_bundle
def test_configurations_are_written_like_those_of_the_zoo(bundle: Path) -> None:
    for path in (bundle / "configs").glob("*.json"):
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=4) + "\n", path.name


@each_bundle
def test_metadata_fit_the_schema(bundle: Path) -> None:
    content = metadata(bundle)
    jsonschema.Draft201909Validator.check_schema(SCHEMA)
    jsonschema.validate(content, SCHEMA, jsonschema.Draft201909Validator)
    assert content["schema"].endswith("/meta_schema_20240725.json")


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_the_schema_misses_what_is_missing(key: str) -> None:
    content = metadata(BUNDLES[0])
    del content[key]
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.validate(content, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value"), [("num_channels", "3"), ("spatial_shape", 216), ("value_range", ["0"])]
)
def test_the_schema_sees_wrong_tensors(key: str, value: object) -> None:
    content = metadata(BUNDLES[0])
    content["network_data_format"]["inputs"]["image"][key] = value
    with pytest.raises(jsonschema.ValidationError, match="is not of type"):
        jsonschema.validate(content, SCHEMA)


@each_bundle
def test_version_is_in_the_changelog_and_nothing_is_evaluated(bundle: Path) -> None:
    content = metadata(bundle)
    assert content["version"] in content["changelog"]
    # MONAI compares versions as texts: 10 would come before 9.
    assert re.fullmatch(r"\d\.\d\.\d", content["version"])
    assert [text for text in texts(content) if "$" in text] == []


@each_bundle
def test_required_versions_are_those_that_the_tests_run_with(bundle: Path) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = {
        pin.name: str(pin.specifier) for pin in requirements if pin.marker is None or pin.marker.evaluate()
    }
    content = metadata(bundle)
    required = dict(content["required_packages_version"])
    assert required.pop("kseg") == __version__
    assert {name: f"=={version}" for name, version in required.items()} == {
        name: pins[name] for name in required
    }
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    assert {name: f"=={content[key]}" for name, key in named.items()} == {name: pins[name] for name in named}


@each_bundle
def test_network_is_defined_once(bundle: Path) -> None:
    defined = [
        path.stem
        for path in (bundle / "configs").rglob("*.json")
        if json.loads(path.read_text())
        .get("network_def", {})
        .get("_target_", "")
        .startswith("kseg.networks.")
    ]
    assert defined == ["inference"]


@each_bundle
def test_no_layer_addresses_what_it_changes_by_its_place_in_a_list(bundle: Path) -> None:
    for path in (bundle / "configs").rglob("*.json"):
        by_place = [key for key in json.loads(path.read_text()) if re.search(r"(#|::)\d+(#|::|$)", key)]
        assert by_place == [], path.name


@each_bundle
def test_everything_named_exists(bundle: Path) -> None:
    for path in (bundle / "configs").rglob("*.json"):
        for target in re.findall(r'"_target_": "([^"]+)"', path.read_text()):
            of_monai = ComponentLocator().get_component_module_name(target)
            assert of_monai or pydoc.locate(target), f"{path.name}: {target}"


@each_bundle
def test_weights_ship_and_fit(bundle: Path) -> None:
    load_network(str(bundle))
    assert read_provenance(str(bundle)).bundle_version == metadata(bundle)["version"]


@pytest.mark.usefixtures("own_search_path", "seeded")
@pytest.mark.parametrize(
    ("halve_every", "rates"),
    [
        (2, [1, 1, 1, 1, 1, 1, 2, 2, 2]),
        (0.7, [1, 1, 2, 2, 4, 4, 8, 8, 16]),
        (0.1, [1, 2, 4, 8, 16, 32, 64, 128, 256]),
    ],
)
def test_the_learning_rate_is_halved_after_parts_of_epochs_too(
    any_bundle: Path, halve_every: float, rates: list[int]
) -> None:
    parser = ConfigParser()
    parser.read_config(str(any_bundle / "configs/train.json"))
    parser.update(
        {
            "bundle_root": str(any_bundle),
            "halve_every": halve_every,
            "train#dataloader": [[]] * 3,
            "network": "$torch.nn.Linear(1, 1)",
        }
    )
    handler = next(
        handler
        for number in range(len(parser["train#handlers"]))
        if parser[f"train#handlers#{number}#_target_"] == "LrScheduleHandler"
        for handler in [parser.get_parsed_content(f"train#handlers#{number}")]
    )
    optimizer = parser.get_parsed_content("optimizer")
    seen: list[float] = []
    engine = Engine(lambda *_: (seen.append(optimizer.param_groups[0]["lr"]), optimizer.step()))
    handler.attach(engine)
    engine.run([0] * 3, max_epochs=3)
    assert seen == [pytest.approx(0.001 / rate) for rate in rates]
