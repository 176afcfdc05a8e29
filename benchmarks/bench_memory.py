"""Memory of `kseg segment` over many volumes: it has to stay where it is after the first few (Linux)."""

import os
import tempfile
from pathlib import Path

from noise_volumes import write_volume

from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings

BUNDLE = "brain_kspace_segmentation"
BATCHES = (1, 2, 7, 50)
SHAPE = (8, 108, 90)
SETTINGS = SegmentSettings(probabilities=True, reconstruction=True, recurrences=True)


def resident_mb() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Print the memory after 1, 3, 10 and 60 volumes."""
    print(f"volumes of {' x '.join(map(str, SHAPE))} voxels, everything written\n volumes   MB in use")
    done = 0
    with tempfile.TemporaryDirectory() as top:
        for batch in BATCHES:
            source = Path(top) / f"batch_{batch}"
            source.mkdir()
            for seed in range(done, done + batch):
                suffix = ".nii.gz" if seed % 2 else ".h5"
                write_volume(source / f"{seed}{suffix}", SHAPE, seed)
            result = segment(source, source / "segmented", BUNDLE, SETTINGS)
            assert len(result.done) == batch, result.failed
            done += batch
            print(f"{done:8d} {resident_mb():11.0f}", flush=True)


if __name__ == "__main__":
    main()
