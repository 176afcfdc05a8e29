"""Segment folders of k-space files and of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kseg import __version__
from kseg.networks.seranet import SERANet
from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.bundle import LoadedBundle, load_bundle
from kseg.pipelines.image_scan import scan_image
from kseg.pipelines.segmentation import SegmentedVolume, segment_volume
from kseg.transforms.errors import InputError
from kseg.transforms.kspace_file import read_kspace
from kseg.transforms.nifti import write_nifti
from kseg.transforms.sampling import gaussian_lines, line_count
from kseg.transforms.seeds import item_generator

_KSPACE = (".h5",)
_IMAGE = (".nii", ".nii.gz")
_STAGE = "segment"
_HERMITIAN = "k-space made from a magnitude image is Hermitian; results on it are optimistic"


@dataclass(frozen=True)
class SegmentSettings:
    """What is written besides the masks, and how images are treated.

    Attributes:
        probabilities: write `NAME_prob.nii.gz`, class probabilities `(x, y, slice, class)`.
        reconstruction: write `NAME_recon.nii.gz`, magnitude of the network's last image, normalised.
        recurrences: write `NAME_recurrences.nii.gz`, probabilities of every pass `(x, y, slice, class, pass)`.
        fraction: share of lines of images that is kept; None for all. k-space files bring their own mask.
        center_lines: central lines that are always kept.
        seed: seed of the lines.
    """

    probabilities: bool = False
    reconstruction: bool = False
    recurrences: bool = False
    fraction: float | None = None
    center_lines: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: expected a number in (0, 1], received {self.fraction}")


def segment(source: Path, output: Path, bundle: str, settings: SegmentSettings) -> BatchResult:
    """Segment a k-space file or image, or all below a folder.

    Writes `OUTPUT/<relative folder>/NAME_seg.nii.gz` on the grid and affine of the input, what the settings ask
    for beside it, and one line per input to `OUTPUT/results.jsonl`.

    Args:
        source: `.h5`, `.nii` or `.nii.gz` file, or a folder.
        output: output folder, made if missing.
        bundle: name or folder of the bundle.
        settings: see `SegmentSettings`.

    Raises:
        InputError: the source does not exist or is the output folder; the bundle or its weights are not usable.
    """
    loaded = load_bundle(bundle)
    cases = find_files(source, _KSPACE + _IMAGE, output)

    def work(case: str, path: Path) -> dict[str, Any]:
        prefix = output / case
        prefix.parent.mkdir(parents=True, exist_ok=True)
        one = _segment_kspace if path.name.endswith(_KSPACE) else _segment_image
        return {**one(path, prefix, loaded.network, settings), **_provenance(loaded)}

    return run_batch(cases, work, stage=_STAGE, records=output / "results.jsonl" if cases else None)


def _provenance(loaded: LoadedBundle) -> dict[str, str]:
    return {
        "bundle": loaded.name,
        "bundle_version": loaded.version,
        "weights_sha256": loaded.weights_sha256,
        "kseg_version": __version__,
    }


def _segment_kspace(
    path: Path, prefix: Path, network: torch.nn.Module, settings: SegmentSettings
) -> dict[str, Any]:
    volume = read_kspace(path)
    segmented = _run(path, network, volume.kspace, volume.mask, settings)

    def to_grid(values: torch.Tensor) -> Any:
        return values.permute(3, 2, 0, 1).contiguous().numpy()

    _write(prefix, segmented, to_grid, volume.affine, settings)
    notes = ["mask inferred from the empty samples"] if volume.mask_inferred else []
    return _facts(volume.kspace, volume.mask, notes)


def _segment_image(
    path: Path, prefix: Path, network: torch.nn.Module, settings: SegmentSettings
) -> dict[str, Any]:
    scan = scan_image(path)
    n_x = scan.kspace.shape[-1]
    mask = torch.ones(n_x, dtype=torch.bool)
    if settings.fraction is not None:
        center = min(settings.center_lines, line_count(n_x, settings.fraction))
        generator = item_generator(settings.seed, prefix.name)
        mask = gaussian_lines(n_x, line_count(n_x, settings.fraction), center, generator)
    segmented = _run(path, network, scan.kspace, mask, settings)
    _write(prefix, segmented, scan.to_input_grid, scan.volume.affine, settings)
    return _facts(scan.kspace, mask, [_HERMITIAN])


def _run(
    path: Path, network: torch.nn.Module, kspace: torch.Tensor, mask: torch.Tensor, settings: SegmentSettings
) -> SegmentedVolume:
    if not isinstance(network, SERANet):
        raise InputError(path, _STAGE, "a bundle whose network is a SERANet", type(network).__name__)
    try:
        return segment_volume(network, kspace, mask, all_passes=settings.recurrences)
    except ValueError as error:
        raise InputError(path, _STAGE, "k-space that the network takes", str(error)) from error


def _write(
    prefix: Path, segmented: SegmentedVolume, to_grid: Any, affine: Any, settings: SegmentSettings
) -> None:
    def beside(ending: str) -> Path:
        return prefix.with_name(f"{prefix.name}_{ending}.nii.gz")

    passes = [to_grid(probabilities) for probabilities in segmented.probabilities]
    if settings.probabilities:
        write_nifti(beside("prob"), passes[-1].astype(np.float32), affine)
    if settings.recurrences:
        steps = np.stack([np.rint(255 * values) for values in passes], axis=-1).astype(np.uint8)
        write_nifti(beside("recurrences"), steps, affine, slope=1 / 255)
    if settings.reconstruction:
        write_nifti(beside("recon"), to_grid(segmented.images[-1][:, None])[..., 0], affine)
    # The mask comes last: where it is, the rest is.
    write_nifti(beside("seg"), passes[-1].argmax(-1).astype(np.uint8), affine)


def _facts(kspace: torch.Tensor, mask: torch.Tensor, notes: list[str]) -> dict[str, Any]:
    n_slices, n_coils, n_y, n_x = kspace.shape
    sizes = {"slices": n_slices, "coils": n_coils, "y": n_y, "x": n_x}
    return {"sizes": sizes, "sampled": round(float(mask.float().mean()), 4), "notes": notes}
