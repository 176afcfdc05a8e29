"""Segment folders of k-space files and of images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kseg import __version__
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.bundle import LoadedBundle, load_bundle
from kseg.pipelines.inference_options import read_inference_options
from kseg.pipelines.scan_input import IMAGE_SUFFIXES, KSPACE_SUFFIXES, open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import convolution_dtype, segment_volume
from kseg.pipelines.segmentation_files import write_segmentation
from kseg.transforms.errors import InputError

_STAGE = "segment"


def segment(source: Path, output: Path, bundle: str, settings: SegmentSettings) -> BatchResult:
    """Segment a k-space file or image, or all below a folder.

    Writes `OUTPUT/<relative folder>/NAME_seg.nii.gz` on the grid and affine of the input, what the settings ask
    for beside it, and one line per input to `OUTPUT/results.jsonl`.

    Args:
        source: k-space (`.h5`, `.mrd`) or image (`.nii`, `.nii.gz`), or a folder.
        output: output folder, made if missing.
        bundle: name or folder of the bundle.
        settings: see `SegmentSettings`.

    Raises:
        InputError: the source or the output cannot be used; the bundle or its weights cannot.
    """
    cases = find_files(source, KSPACE_SUFFIXES + IMAGE_SUFFIXES, output)
    if not cases:
        return BatchResult()
    loaded, network = load_segmenter(bundle)
    said = read_inference_options(bundle)
    options = replace(
        said,
        flip=said.flip if settings.flip is None else settings.flip,
        precision=said.precision if settings.precision is None else settings.precision,
    )
    dtype = convolution_dtype(options, next(network.parameters()).device)

    def work(case: str, path: Path) -> dict[str, Any]:
        scan = open_scan(path, case, settings)
        segmented = segment_volume(
            network,
            scan.kspace,
            scan.mask,
            options,
            all_passes=settings.recurrences,
        )
        write_segmentation(output / case, scan, segmented, settings)
        return {
            "sizes": dict(zip(("slices", "coils", "y", "x"), scan.kspace.shape, strict=True)),
            "sampled": round(float(scan.mask.float().mean()), 4),
            "notes": scan.notes,
            "flip": options.flip,
            "temperature": options.temperature,
            "precision": str(dtype).removeprefix("torch."),
            "bundle": loaded.name,
            "bundle_version": loaded.version,
            "weights_sha256": loaded.weights_sha256,
            "kseg_version": __version__,
        }

    return run_batch(cases, work, stage=_STAGE, records=output / "results.jsonl")


def load_segmenter(bundle: str) -> tuple[LoadedBundle, KSpaceSegmenter]:
    """Load a bundle whose network segments k-space.

    Args:
        bundle: name or folder of the bundle.

    Returns:
        The bundle, and its network.

    Raises:
        InputError: the bundle or its weights cannot be used, or its network is of another kind.
    """
    loaded = load_bundle(bundle)
    if not isinstance(loaded.network, KSpaceSegmenter):
        raise InputError(
            bundle, _STAGE, "a bundle whose network segments k-space", type(loaded.network).__name__
        )
    return loaded, loaded.network
