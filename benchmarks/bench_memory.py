"""Memory of `kseg segment` over many volumes: it has to stay where it is after the first few (Linux)."""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines

BUNDLE = "brain_kspace_segmentation"
BATCHES = (1, 2, 7, 50)
SHAPE = (8, 108, 90)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
SETTINGS = SegmentSettings(probabilities=True, reconstruction=True, recurrences=True)


def resident_mb() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_volume(folder: Path, seed: int) -> None:
    """Write noise, as k-space and as an image in turns."""
    generator = torch.Generator().manual_seed(seed)
    if seed % 2:
        write_nifti(folder / f"{seed}.nii.gz", torch.rand(SHAPE[::-1], generator=generator).numpy(), AFFINE)
        return
    n_slices, n_y, n_x = SHAPE
    mask = gaussian_lines(n_x, 27, 16, generator)
    kspace = torch.randn(n_slices, 1, n_y, n_x, dtype=torch.complex64, generator=generator) * mask
    write_kspace(folder / f"{seed}.h5", KSpaceVolume(kspace, mask, AFFINE, None, seed, str(seed)))


def main() -> None:
    """Print the memory after 1, 3, 10 and 60 volumes."""
    print(f"volumes of {' x '.join(map(str, SHAPE))} voxels, everything written\n volumes   MB in use")
    done = 0
    with tempfile.TemporaryDirectory() as top:
        for batch in BATCHES:
            source = Path(top) / f"batch_{batch}"
            source.mkdir()
            for seed in range(done, done + batch):
                write_volume(source, seed)
            result = segment(source, source / "segmented", BUNDLE, SETTINGS)
            assert len(result.done) == batch, result.failed
            done += batch
            print(f"{done:8d} {resident_mb():11.0f}", flush=True)


if __name__ == "__main__":
    main()
