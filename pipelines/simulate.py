"""From label maps to under-sampled k-space with oracle labels."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.transforms.brainweb import read_brainweb
from kseg.transforms.brainweb_volume import FORMATS
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coils import root_sum_of_squares
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.head import Head, head_from_labels
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map, write_nifti
from kseg.transforms.noise import NoiseReference, add_noise, noise_sigma
from kseg.transforms.phantom import ORACLES, Phantom, make_phantom
from kseg.transforms.sampling import equispaced_lines, gaussian_lines, line_count, poisson_disc, uniform_lines
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.seeds import item_generator
from kseg.transforms.sequences import GradientEcho, InversionRecovery, SpinEcho
from kseg.transforms.tissues import load_tissue_table, tissue_list

SOURCES = ("freesurfer", "brainweb_20", "brainweb_normal")
PATTERNS = ("gaussian", "uniform", "equispaced", "poisson")
_NIFTI = (".nii", ".nii.gz")
_STAGE = "simulate"


@dataclass(frozen=True)
class SimulationSettings:
    """What is scanned, and how.

    Attributes:
        source: code table of the label maps, one of `SOURCES`.
        oracle: how a thick voxel gets its label, one of `ORACLES`.
        sequence: pulse sequence.
        time_jitter: largest relative change of TE and of TR, drawn per head.
        tissues: name or path of the tissue table.
        coils: number of receive coils.
        noise: noise level.
        noise_reference: what the level is relative to.
        pattern: which samples are measured, one of `PATTERNS`.
        fraction: share of samples, in (0, 1].
        center_lines: central lines (for `poisson` the side of the central square) that are always sampled.
        mask_per: `volume` for one mask, `slice` for one per slice.
        seed: seed of everything random.

    Raises:
        ValueError: a value that is not among the choices.
    """

    source: str = "freesurfer"
    oracle: str = "majority"
    sequence: SpinEcho | GradientEcho | InversionRecovery = field(default_factory=SpinEcho)
    time_jitter: float = 0.0
    tissues: str = "1.5T"
    coils: int = 1
    noise: float = 0.1
    noise_reference: NoiseReference = "csf"
    pattern: str = "gaussian"
    fraction: float = 0.3
    center_lines: int = 16
    mask_per: str = "volume"
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {"source": SOURCES, "oracle": ORACLES, "pattern": PATTERNS, "mask_per": ("volume", "slice")}
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, received {value!r}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: expected a number in (0, 1], received {self.fraction}")


@dataclass(frozen=True)
class SimulatedScan:
    """A scan with everything that is known about it.

    Attributes:
        volume: noisy, under-sampled k-space.
        image: fully sampled, noise-free magnitude `(slice, y, x)`.
        phantom: the head that was scanned.
    """

    volume: KSpaceVolume
    image: Tensor
    phantom: Phantom


def simulate(labels: Path, output: Path, settings: SimulationSettings) -> BatchResult:
    """Simulate the scan of a label map or of every label map below a folder.

    Writes `OUTPUT/kspace/NAME.h5`, `OUTPUT/labels/NAME.nii.gz` (the oracle on the acquisition grid) and
    `OUTPUT/images/NAME.nii.gz` (fully sampled, noise-free magnitude), in the relative folder of the input.

    Args:
        labels: label map, or a folder of them.
        output: output folder, made if missing.
        settings: what is scanned, and how.

    Raises:
        InputError: the input does not exist, or is the output folder.
    """
    suffixes = _NIFTI
    if settings.source != "freesurfer":
        suffixes = tuple(ending + packed for ending in FORMATS for packed in ("", ".gz"))
    cases = find_files(labels, suffixes, output)

    def work(case: str, path: Path) -> dict[str, Any]:
        scan = simulate_scan(
            make_phantom(_read_head(path, settings.source), case, oracle=settings.oracle), settings
        )
        write_scan(scan, output, case)
        return {"sigma": scan.volume.sigma, "sampled": float(scan.volume.mask.float().mean())}

    return run_batch(cases, work, stage=_STAGE)


def simulate_scan(phantom: Phantom, settings: SimulationSettings) -> SimulatedScan:
    """Scan a phantom; the same phantom name and seed give the same scan.

    Args:
        phantom: the head; its `subject` enters the seed.
        settings: how it is scanned.

    Raises:
        ValueError: settings that do not fit the phantom, such as more central than sampled lines.
    """
    generator = item_generator(settings.seed, phantom.subject)
    table = load_tissue_table(settings.tissues)
    tissues = tissue_list(table, phantom.tissues)
    sequence = settings.sequence.jittered(generator, settings.time_jitter)
    n_slices, n_y, n_x = phantom.labels.shape
    maps = coil_maps(settings.coils, (n_y, n_x), generator)
    kspace = scan_kspace(phantom.fractions, tissues, sequence, maps=maps, readout=Readout())
    image = root_sum_of_squares(ifft2c(kspace))
    sigma = noise_sigma(
        settings.noise, settings.noise_reference, sequence=sequence, tissues=table, image=image
    )
    mask = sampling_mask((n_slices, n_y, n_x), settings, generator)
    noisy = add_noise(kspace, sigma, generator)
    volume = KSpaceVolume(
        kspace=torch.where(mask[:, None] if mask.ndim == 3 else mask[..., None, None, :], noisy, 0),
        mask=mask,
        affine=phantom.affine,
        sigma=sigma,
        seed=settings.seed,
        subject=phantom.subject,
    )
    return SimulatedScan(volume, image, phantom)


def write_scan(scan: SimulatedScan, output: Path, case: str) -> None:
    """Write k-space, oracle labels and reference image of a scan; see `simulate`.

    Args:
        scan: what to write.
        output: output folder, made if missing.
        case: relative folder and name.
    """
    labels, image = output / "labels" / f"{case}.nii.gz", output / "images" / f"{case}.nii.gz"
    kspace = output / "kspace" / f"{case}.h5"
    for path in (labels, image, kspace):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(labels, to_nifti_axes(scan.phantom.labels), scan.phantom.affine)
    write_nifti(image, to_nifti_axes(scan.image), scan.phantom.affine)
    # The k-space comes last: where it is, the rest is.
    write_kspace(kspace, scan.volume)


def sampling_mask(
    shape: tuple[int, int, int], settings: SimulationSettings, generator: torch.Generator
) -> Tensor:
    """Draw the mask of a volume.

    Args:
        shape: (slice, y, x).
        settings: pattern, share, central lines, and whether every slice has its own.
        generator: source of randomness.

    Returns:
        Lines `(x,)` or `(slice, x)`; for `poisson` points `(slice, y, x)`.
    """
    n_slices, n_y, n_x = shape
    n_masks = n_slices if settings.mask_per == "slice" else 1
    masks = torch.stack([_one_mask((n_y, n_x), settings, generator) for _ in range(n_masks)])
    if settings.pattern == "poisson":
        return masks.expand(n_slices, n_y, n_x).clone()
    return masks if settings.mask_per == "slice" else masks[0]


def _one_mask(shape: tuple[int, int], settings: SimulationSettings, generator: torch.Generator) -> Tensor:
    n_y, n_x = shape
    n_lines, center = line_count(n_x, settings.fraction), settings.center_lines
    if settings.pattern == "gaussian":
        return gaussian_lines(n_x, n_lines, center, generator)
    if settings.pattern == "uniform":
        return uniform_lines(n_x, n_lines, center, generator)
    if settings.pattern == "equispaced":
        offset = int(torch.randint(n_x, (), generator=generator))
        return equispaced_lines(n_x, n_lines, center, offset)
    return poisson_disc(shape, line_count(n_y * n_x, settings.fraction), center, generator)


def to_nifti_axes(values: Tensor) -> Any:
    """Turn (slice, y, x) into a NIfTI array (x, y, slice); nothing is flipped."""
    return values.permute(2, 1, 0).contiguous().numpy()


def _read_head(path: Path, source: str) -> Head:
    if source != "freesurfer":
        return read_brainweb(path, source)
    try:
        return head_from_labels(read_label_map(path), load_label_codes(source))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(path, _STAGE, f"labels of the table {source}", str(error)) from error
