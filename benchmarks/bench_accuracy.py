"""What the shipped weights reach on the embedded head and on heads that no training saw."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from kseg.pipelines.evaluate import bundle_classes, evaluate
from kseg.pipelines.metrics_lesions import LesionRule
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import SimulationSettings, simulate, simulate_scan, write_scan
from kseg.pipelines.simulate_lesions import EMBEDDED, LesionSettings, simulate_lesions
from kseg.pipelines.summary_text import summary_text
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.phantom import make_phantom

BRAIN, LESIONS = "brain_kspace_segmentation", "ms_lesion_segmentation"
VALIDATION = ("training_seg_15", "training_seg_16", "training_seg_17")


def score(scans: Path) -> str:
    """Segment and evaluate what `kseg simulate` wrote."""
    segmented = scans / "segmented"
    segment(scans / "kspace", segmented, BRAIN, SegmentSettings(probabilities=True))
    found = evaluate(segmented, scans / "labels", scans / "metrics.csv")
    return f"{summary_text(found.classes)}\n{found.calibration}"


def score_lesions(heads: Iterable[Path], patients: Path) -> str:
    """Simulate three patients of each head, segment and evaluate them."""
    for head in heads:
        simulate_lesions(head, patients, LesionSettings(count=3, seed=7))
    segmented = patients / "segmented"
    segment(patients / "images", segmented, LESIONS, SegmentSettings())
    classes, rule = bundle_classes(LESIONS), LesionRule(("lesion",))
    metrics = patients / "metrics.csv"
    return summary_text(
        evaluate(segmented, patients / "labels", metrics, classes=classes, lesions=rule).classes
    )


def main() -> None:
    """Print one table for each noise level, and those of the lesions, of both kinds of head."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        demo = folder / "demo"
        write_scan(simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()), demo, "mni152")
        print(f"embedded head, 30 % of the lines, 10 % noise\n{score(demo)}\n")
        print(
            f"embedded head, three patients with lesions\n{score_lesions([Path(EMBEDDED)], folder / 'ms')}\n"
        )
        data = os.environ.get("KSEG_DATA")
        if data is None:
            print("heads 15 to 17: skipped, KSEG_DATA is not set")
            return
        heads = [Path(data) / "heads" / f"{head}.nii.gz" for head in VALIDATION]
        for noise in (0.1, 0.2):
            scans = folder / f"noise_{noise}"
            for head in heads:
                simulate(head, scans, SimulationSettings(noise=noise))
            print(f"heads 15 to 17, 30 % of the lines, {noise:.0%} noise\n{score(scans)}\n")
        print(f"heads 15 to 17, nine patients with lesions\n{score_lesions(heads, folder / 'lesions')}")


if __name__ == "__main__":
    main()
