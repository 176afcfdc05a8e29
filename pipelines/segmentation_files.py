"""Write what was segmented: masks, and what is asked for beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kseg.pipelines.bids_outputs import derivative_name, write_sidecar
from kseg.pipelines.dicom_seg import write_dicom_seg
from kseg.pipelines.input_grid import InputGrid
from kseg.pipelines.provenance import Provenance
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import SegmentedVolume
from kseg.pipelines.uncertainty import uncertainty
from kseg.transforms.nifti import write_nifti


def write_segmentation(
    prefix: Path,
    grid: InputGrid,
    segmented: SegmentedVolume,
    settings: SegmentSettings,
    provenance: Provenance,
) -> list[Path]:
    """Write the results of a case: its mask, and what the settings ask for.

    Args:
        prefix: output folder, relative folder and name of the case; folders are made.
        grid: of what was segmented.
        segmented: what became of it.
        settings: see `SegmentSettings`.
        provenance: with what it was segmented.

    Returns:
        The files that were written; the mask comes last: where it is, the rest is.

    Raises:
        InputError: a DICOM segmentation that the series or its classes do not allow.
    """
    files: list[Path] = []

    def write(ending: str, array: npt.NDArray[Any], slope: float | None = None) -> None:
        path = prefix.with_name(f"{prefix.name}_{ending}.nii.gz")
        if settings.bids:
            path = path.with_name(derivative_name(prefix.name, ending))
            # One slice stands for its DICOM series.
            sources = grid.files[:1] if grid.is_dicom else grid.files
            files.extend(write_sidecar(path, ending, sources, provenance.labels))
        write_nifti(path, array, grid.affine, slope=slope)
        files.append(path)

    prefix.parent.mkdir(parents=True, exist_ok=True)
    probabilities = grid.to_grid(segmented.probabilities[-1])
    if settings.probabilities:
        write("prob", probabilities)
    if settings.uncertainty:
        write("uncertainty", uncertainty(torch.from_numpy(probabilities), axis=-1).numpy())
    if settings.recurrences:
        passes = [np.rint(255 * grid.to_grid(each)).astype(np.uint8) for each in segmented.probabilities]
        write("recurrences", np.stack(passes, axis=-1), slope=1 / 255)
    if settings.reconstruction and segmented.images is not None:
        write("recon", grid.to_grid(segmented.images[-1][:, None])[..., 0])
    labels = probabilities.argmax(-1).astype(np.uint8)
    if settings.dicom_seg and grid.is_dicom:
        files.append(prefix.with_name(f"{prefix.name}_seg.dcm"))
        write_dicom_seg(files[-1], labels, grid.files, provenance)
    write("seg", labels)
    return files
