"""What is evaluated is what was trained, for every row of the tables."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from paper.budget import load_budget
from paper.evaluation import write_bundle
from paper.grid import Method, load_grid, table_cells
from paper.plan import BUNDLE, configuration_files
from paper.seranet_experiment import SeranetExperiment
from paper.training import weights_of

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.inference_options import InferenceOptions, read_inference_options
from kseg.pipelines.segment_work import load_segmenter
from kseg.pipelines.segmentation import segment_volume

GRID = load_grid()
ROWS = [
    (method, block)
    for method in GRID.methods.values()
    for block in table_cells(method, 0.1, load_budget("smoke"))
]


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(("method", "block"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_the_network_that_is_evaluated_is_the_one_that_was_trained(
    method: Method, block: str | None, experiment: SeranetExperiment, tmp_path: Path
) -> None:
    (cell, *_) = table_cells(method, 0.1, experiment.budget)[block]
    training = experiment.plan(cell)[-1]
    files = configuration_files(BUNDLE, training.configs)
    parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in files]))
    parser.update({**training.arguments, "bundle_root": str(find_bundle(BUNDLE)), "device": "cpu"})
    trained = parser.get_parsed_content("network").eval()
    weights = weights_of(training, experiment.runs)
    weights.parent.mkdir(parents=True)
    torch.save(trained.state_dict(), weights)

    bundle = write_bundle(training, {"flip": method.flip}, tmp_path / "bundle", experiment.runs)
    options = read_inference_options(str(bundle))
    assert options == InferenceOptions(flip=method.flip)
    kspace = torch.randn(3, 1, 16, 12, dtype=torch.complex64)
    mask = torch.arange(12) % 3 < 2
    expected = segment_volume(trained, kspace, mask, options).probabilities
    loaded = load_segmenter(str(bundle))
    assert type(loaded) is type(trained)
    torch.testing.assert_close(
        segment_volume(loaded, kspace, mask, options).probabilities, expected, rtol=0, atol=0
    )
    once = segment_volume(loaded, kspace, mask, InferenceOptions()).probabilities
    assert torch.equal(once, expected) is not method.flip
