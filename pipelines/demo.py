"""The whole way on an embedded phantom: scan, segment, evaluate, report."""

import time
from collections.abc import Callable
from pathlib import Path

from kseg.pipelines.bundle import load_network
from kseg.pipelines.evaluate import evaluate
from kseg.pipelines.report import report
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import SimulationSettings, simulate_scan, write_scan
from kseg.pipelines.summary_text import summary_text
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.phantom import make_phantom

_SUBJECT = "mni152"


def run_demo(output: Path, bundle: str, settings: SimulationSettings, say: Callable[[str], object]) -> int:
    """Run the demonstration.

    Args:
        output: folder for everything it makes.
        bundle: bundle that segments.
        settings: how the embedded head is scanned; its source is not used.
        say: shows one line to the user.

    Returns:
        Exit code, as those of the single commands.

    Raises:
        InputError: the bundle or its weights cannot be used, or nothing can be written to the folder.
    """
    began = time.monotonic()
    # Before the head is made: without weights there is nothing to show.
    load_network(bundle)
    say(f"1/4 scanning the embedded head: {settings.fraction:.0%} of k-space, {settings.noise:.0%} noise")
    phantom = make_phantom(mni152_head(), _SUBJECT, grid=settings.grid, oracle=settings.oracle)
    write_scan(simulate_scan(phantom, settings), output, _SUBJECT)
    say("2/4 segmenting straight from k-space")
    segmented, labels = output / "segmented", output / "labels"
    every_pass = SegmentSettings(reconstruction=True, recurrences=True)
    result = segment(output / "kspace" / f"{_SUBJECT}.h5", segmented, bundle, every_pass)
    if result.exit_code:
        return result.exit_code
    say("3/4 comparing with the oracle")
    metrics = output / "metrics.csv"
    evaluation = evaluate(segmented, labels, metrics)
    if evaluation.exit_code:
        return evaluation.exit_code
    say(summary_text(evaluation.classes))
    say("4/4 drawing")
    page = output / "report.html"
    outcome = report(segmented, metrics, page, images=output / "images", references=labels)
    say(f"done in {time.monotonic() - began:.0f} s; open {page.resolve()} in a browser")
    return outcome.exit_code
