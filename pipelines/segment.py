"""Segment folders of k-space files and of images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kseg import __version__
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.bundle import LoadedBundle, load_bundle
from kseg.pipelines.image_scan import scan_image
from kseg.pipelines.inference_options import read_inference_options
from kseg.pipelines.segmentation import SegmentedVolume, convolution_dtype, segment_volume
from kseg.pipelines.uncertainty import uncertainty
from kseg.transforms.errors import InputError
from kseg.transforms.kspace_file import read_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines, line_count
from kseg.transforms.seeds import item_generator

_KSPACE = (".h5", ".mrd")
_IMAGE = (".nii", ".nii.gz")
_STAGE = "segment"
_HERMITIAN = "k-space made from a magnitude image is Hermitian; results on it are optimistic"
_INFERRED = "mask inferred from the empty samples"


@dataclass(frozen=True)
class SegmentSettings:
    """What is written besides the masks, and how images are treated.

    Attributes:
        probabilities: write `NAME_prob.nii.gz`, class probabilities `(x, y, slice, class)`.
        reconstruction: write `NAME_recon.nii.gz`, magnitude of the network's last image, normalised.
        recurrences: write `NAME_recurrences.nii.gz`, probabilities of every pass `(x, y, slice, class, pass)`.
        uncertainty: write `NAME_uncertainty.nii.gz`, entropy of the class probabilities, 0 to 1, `(x, y, slice)`.
        flip: average with the mirrored scan, which takes twice as long; None does what the bundle says.
        precision: of the convolutions, see `InferenceOptions`; None is what the bundle says.
        fraction: share of lines of images that is kept, in (0, 1]; k-space files bring their own mask.
        center_lines: central lines that are always kept if not all are.
        seed: seed of the lines; those of an image depend on it and on the relative folder and name.

    Raises:
        ValueError: a share outside (0, 1], a negative number of lines.
    """

    probabilities: bool = False
    reconstruction: bool = False
    recurrences: bool = False
    uncertainty: bool = False
    flip: bool | None = None
    precision: str | None = None
    fraction: float = 1.0
    center_lines: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: expected a number in (0, 1], received {self.fraction}")
        if self.center_lines < 0:
            raise ValueError(f"center lines: expected 0 or more, received {self.center_lines}")


@dataclass(frozen=True, eq=False)
class _Scan:
    """What a file holds, and how results get to its grid.

    Attributes:
        kspace: `(slice, coil, y, x)`.
        mask: `(x,)`, `(slice, x)` or `(slice, y, x)`.
        affine: of the grid of the results.
        to_grid: turns results `(slice, channel, y, x)` into `(x, y, z, channel)`.
        notes: what the reader of the results should know.
    """

    kspace: Tensor
    mask: Tensor
    affine: npt.NDArray[np.float64]
    to_grid: Callable[[Tensor], npt.NDArray[Any]]
    notes: list[str]


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
    cases = find_files(source, _KSPACE + _IMAGE, output)
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
        scan = _open_kspace(path) if path.name.endswith(_KSPACE) else _open_image(path, case, settings)
        segmented = segment_volume(
            network,
            scan.kspace,
            scan.mask,
            options,
            all_passes=settings.recurrences,
        )
        _write(output / case, scan, segmented, settings)
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


def _open_kspace(path: Path) -> _Scan:
    volume = read_kspace(path)

    def to_grid(values: Tensor) -> npt.NDArray[Any]:
        return values.permute(3, 2, 0, 1).contiguous().numpy()

    notes = [_INFERRED] if volume.mask_inferred else []
    return _Scan(volume.kspace, volume.mask, volume.affine, to_grid, notes)


def _open_image(path: Path, case: str, settings: SegmentSettings) -> _Scan:
    scan = scan_image(path)
    n_x = scan.kspace.shape[-1]
    mask = torch.ones(n_x, dtype=torch.bool)
    if settings.fraction < 1:
        n_lines = line_count(n_x, settings.fraction)
        mask = gaussian_lines(n_x, n_lines, settings.center_lines, item_generator(settings.seed, case))
    return _Scan(scan.kspace, mask, scan.affine, scan.to_input_grid, [_HERMITIAN])


def _write(prefix: Path, scan: _Scan, segmented: SegmentedVolume, settings: SegmentSettings) -> None:
    def beside(ending: str) -> Path:
        return prefix.with_name(f"{prefix.name}_{ending}.nii.gz")

    prefix.parent.mkdir(parents=True, exist_ok=True)
    probabilities = scan.to_grid(segmented.probabilities[-1])
    if settings.probabilities:
        write_nifti(beside("prob"), probabilities, scan.affine)
    if settings.uncertainty:
        unsure = uncertainty(torch.from_numpy(probabilities), axis=-1).numpy()
        write_nifti(beside("uncertainty"), unsure, scan.affine)
    if settings.recurrences:
        passes = [np.rint(255 * scan.to_grid(each)).astype(np.uint8) for each in segmented.probabilities]
        write_nifti(beside("recurrences"), np.stack(passes, axis=-1), scan.affine, slope=1 / 255)
    if settings.reconstruction:
        write_nifti(beside("recon"), scan.to_grid(segmented.images[-1][:, None])[..., 0], scan.affine)
    # The mask comes last: where it is, the rest is.
    write_nifti(beside("seg"), probabilities.argmax(-1).astype(np.uint8), scan.affine)
