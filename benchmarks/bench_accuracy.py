"""Dice of the shipped weights on heads they have never seen, and on the embedded head of the demo."""

import os
import tempfile
from pathlib import Path

from kseg.pipelines.evaluate import evaluate
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import SimulationSettings, simulate, simulate_scan, write_scan
from kseg.pipelines.summary_text import summary_text
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.phantom import make_phantom

BUNDLE = "brain_kspace_segmentation"
VALIDATION = ("training_seg_15", "training_seg_16", "training_seg_17")


def score(scans: Path) -> str:
    """Segment and evaluate what `kseg simulate` wrote."""
    segmented = scans / "segmented"
    segment(scans / "kspace", segmented, BUNDLE, SegmentSettings())
    return summary_text(evaluate(segmented, scans / "labels", scans / "metrics.csv").classes)


def main() -> None:
    """Print one table per noise level, and that of the demo."""
    with tempfile.TemporaryDirectory() as folder:
        data = os.environ.get("KSEG_DATA")
        for noise in (0.1, 0.2):
            scans = Path(folder) / f"noise_{noise}"
            if data is None:
                print("heads 15 to 17: skipped, KSEG_DATA is not set")
                break
            for name in VALIDATION:
                simulate(Path(data) / "heads" / f"{name}.nii.gz", scans, SimulationSettings(noise=noise))
            print(f"heads 15 to 17, 30 % of the lines, {noise:.0%} noise\n{score(scans)}\n")
        demo = Path(folder) / "demo"
        write_scan(simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()), demo, "mni152")
        print(f"embedded head, 30 % of the lines, 10 % noise\n{score(demo)}")


if __name__ == "__main__":
    main()
