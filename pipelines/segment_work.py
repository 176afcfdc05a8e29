"""The work of a process that segments."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kseg import __version__
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.bundle import LoadedBundle, load_bundle
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.inference_options import read_inference_options
from kseg.pipelines.provenance import read_provenance
from kseg.pipelines.scan_input import open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import convolution_dtype, segment_volume
from kseg.pipelines.segmentation_files import write_segmentation
from kseg.transforms.errors import InputError

_STAGE = "segment"


def start_segmenting(
    output: Path, bundle: str, settings: SegmentSettings, *, trust: bool = False
) -> Callable[[str, Path], dict[str, Any]]:
    """Load a bundle and return what segments a file with it.

    Args:
        output: output folder.
        bundle: name or folder of the bundle.
        settings: see `SegmentSettings`.
        trust: see `load_segmenter`.

    Returns:
        Segments a case from its name and file, and returns what its record shall hold.

    Raises:
        InputError: the bundle or its weights cannot be used.
    """
    _, network = load_segmenter(bundle, trust=trust)
    provenance = read_provenance(bundle)
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
            maps=scan.maps,
            all_passes=settings.recurrences,
        )
        files = write_segmentation(output / case, scan, segmented, settings, provenance)
        return {
            "outputs": {file.relative_to(output).as_posix(): file_sha256(file) for file in files},
            "sizes": dict(zip(("slices", "coils", "y", "x"), scan.kspace.shape, strict=True)),
            "sampled": round(float(scan.mask.float().mean()), 4),
            "notes": [*scan.notes, *segmented.notes],
            "flip": options.flip,
            "temperature": options.temperature,
            "precision": str(dtype).removeprefix("torch."),
            "bundle": provenance.bundle,
            "bundle_version": provenance.bundle_version,
            "versions": {"kseg": __version__, "torch": torch.__version__},
        }

    return work


def load_segmenter(bundle: str, *, trust: bool = False) -> tuple[LoadedBundle, KSpaceSegmenter]:
    """Load a bundle whose network segments k-space.

    Args:
        bundle: name or folder of the bundle.
        trust: take a bundle that `kseg bundle check` refuses, and run whatever code it names.

    Returns:
        The bundle, and its network.

    Raises:
        InputError: the bundle or its weights cannot be used, or its network is of another kind.
    """
    loaded = load_bundle(bundle, trust=trust)
    if not isinstance(loaded.network, KSpaceSegmenter):
        raise InputError(
            bundle, _STAGE, "a bundle whose network segments k-space", type(loaded.network).__name__
        )
    return loaded, loaded.network
