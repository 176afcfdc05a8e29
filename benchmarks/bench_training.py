"""What a step of the shipped training waits for its data, as configured and with the simulation on its path.

The trainings are those that `python -m monai.bundle run` makes of the shipped configuration, ended after some
iterations: 10, or as many as the first argument says. Needs the heads that KSEG_DATA names.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

from kseg.pipelines.bundle_folder import find_bundle

BUNDLE = "brain_kspace_segmentation"
NOT_COUNTED = 2


class Waiting:
    """How long each iteration of a training took, and how much of that it waited for its batch, seconds."""

    def __init__(self) -> None:
        self.iterations: list[float] = []
        self.waits: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Listen to batches and iterations, after all other handlers."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._receive)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._complete)

    def _begin(self) -> None:
        self.began = time.perf_counter()

    def _receive(self) -> None:
        self.waits.append(time.perf_counter() - self.began)

    def _complete(self) -> None:
        now = time.perf_counter()
        self.iterations.append(now - self.began)
        self.began = now


def train(heads: Path, iterations: int, **options: Any) -> Waiting:
    """Train as shipped for some iterations, without a validation."""
    bundle = find_bundle(BUNDLE)
    with tempfile.TemporaryDirectory() as output:
        workflow = ConfigWorkflow(
            str(bundle / "configs" / "train.json"),
            workflow_type="train",
            logging_file=False,
            bundle_root=str(bundle),
            dataset_dir=str(heads),
            output_dir=output,
            epochs=1,
            val_interval=2,
            **options | {"train#trainer#epoch_length": iterations},
        )
        workflow.initialize()
        waiting = Waiting()
        waiting.attach(workflow.parser.get_parsed_content("train#trainer"))
        workflow.run()
    return waiting


def main() -> None:
    """Print the table."""
    data = os.environ.get("KSEG_DATA")
    if data is None:
        print("training: skipped, KSEG_DATA is not set")
        return
    iterations = NOT_COUNTED + int(sys.argv[1] if len(sys.argv) > 1 else 10)
    print(f"{torch.get_num_threads()} threads, means of {iterations - NOT_COUNTED} training steps as shipped")
    print(f"{'simulation':24}{'step ms':>10}{'waited ms':>12}{'ratio':>9}{'first batch ms':>17}")
    for name, options in (("in worker processes", {}), ("in the training process", {"num_workers": 0})):
        waiting = train(Path(data) / "heads", iterations, **options)
        step, waited = (
            1e3 * statistics.mean(seconds[NOT_COUNTED:]) for seconds in (waiting.iterations, waiting.waits)
        )
        print(f"{name:24}{step:10.0f}{waited:12.1f}{waited / step:9.2%}{1e3 * waiting.waits[0]:17.0f}")


if __name__ == "__main__":
    main()
