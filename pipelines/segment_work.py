"""The work of a process that segments."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kseg import __version__
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.bundle import load_network
from kseg.pipelines.bundle_input import read_contrasts
from kseg.pipelines.contrast_segmenter import ContrastSegmenter
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.inference_options import InferenceOptions, read_inference_options
from kseg.pipelines.input_grid import InputGrid
from kseg.pipelines.items import Item, Work
from kseg.pipelines.provenance import read_provenance
from kseg.pipelines.scan_input import open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import SegmentedVolume, convolution_dtype, segment_volume
from kseg.pipelines.segmentation_files import write_segmentation
from kseg.transforms.errors import InputError

_STAGE = "segment"

Segmenter = Callable[[Item], tuple[InputGrid, SegmentedVolume, dict[str, Any]]]
"""Segments a case; gives the grid of its input, the results, and what a record shall say of the input."""


def start_segmenting(
    output: Path,
    bundle: str,
    settings: SegmentSettings,
    device: torch.device | None = None,
    *,
    trust: bool = False,
) -> Work:
    """Load a bundle and return what segments a case with it.

    Args:
        output: output folder.
        bundle: name or folder of the bundle.
        settings: see `SegmentSettings`.
        device: where the network computes; the processor if not given.
        trust: see `load_segmenter`.

    Returns:
        Segments a case, writes its results, and returns what its record shall hold.

    Raises:
        InputError: the bundle or its weights cannot be used.
    """
    contrasts = read_contrasts(bundle)
    network = load_network(bundle, trust=trust) if contrasts else load_segmenter(bundle, trust=trust)
    device = device or torch.device("cpu")
    network.to(device)
    provenance = read_provenance(bundle)
    said = read_inference_options(bundle)
    options = replace(
        said,
        flip=said.flip if settings.flip is None else settings.flip,
        precision=said.precision if settings.precision is None else settings.precision,
    )
    segmenter: Segmenter = (
        _kspace_segmenter(network, settings, options)
        if isinstance(network, KSpaceSegmenter)
        else ContrastSegmenter(bundle, network, contrasts, options)
    )
    dtype = convolution_dtype(options, device)

    def work(item: Item) -> dict[str, Any]:
        grid, segmented, of_input = segmenter(item)
        files = write_segmentation(output / item.case, grid, segmented, settings, provenance)
        return {
            "outputs": {file.relative_to(output).as_posix(): file_sha256(file) for file in files},
            **of_input,
            "notes": [*grid.notes, *segmented.notes],
            "flip": options.flip,
            "temperature": options.temperature,
            "precision": str(dtype).removeprefix("torch."),
            "device": str(device),
            "bundle": provenance.bundle,
            "bundle_version": provenance.bundle_version,
            "versions": {"kseg": __version__, "torch": torch.__version__},
        }

    return work


def load_segmenter(bundle: str, *, trust: bool = False) -> KSpaceSegmenter:
    """Load the network of a bundle that segments k-space.

    Args:
        bundle: name or folder of the bundle.
        trust: take a bundle that `kseg bundle check` refuses, and run whatever code it names.

    Raises:
        InputError: the bundle or its weights cannot be used, or its network is of another kind.
    """
    network = load_network(bundle, trust=trust)
    if not isinstance(network, KSpaceSegmenter):
        raise InputError(bundle, _STAGE, "a bundle whose network segments k-space", type(network).__name__)
    return network


def _kspace_segmenter(
    network: KSpaceSegmenter, settings: SegmentSettings, options: InferenceOptions
) -> Segmenter:
    def segmenter(item: Item) -> tuple[InputGrid, SegmentedVolume, dict[str, Any]]:
        scan = open_scan(item.path, item.case, settings)
        segmented = segment_volume(
            network,
            scan.kspace,
            scan.mask,
            options,
            maps=scan.maps,
            all_passes=settings.recurrences,
        )
        sizes = dict(zip(("slices", "coils", "y", "x"), scan.kspace.shape, strict=True))
        return scan, segmented, {"sizes": sizes, "sampled": round(float(scan.mask.float().mean()), 4)}

    return segmenter
