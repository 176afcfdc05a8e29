"""From label maps to under-sampled k-space with oracle labels."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.engines import InProcess
from kseg.pipelines.items import Item, list_items
from kseg.pipelines.records import open_records
from kseg.transforms.brainweb import read_brainweb, read_brainweb_fuzzy
from kseg.transforms.brainweb_volume import FORMATS
from kseg.transforms.coils import root_sum_of_squares
from kseg.transforms.dictionary_sampling import (
    EquispacedLinesd,
    GaussianLinesd,
    MaskDraw,
    PoissonDiscd,
    SampleKSpaced,
    UniformLinesd,
)
from kseg.transforms.dictionary_simulation import AddNoised, ScanKSpaced, ScanProtocol
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import Head, head_from_labels
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map, write_nifti
from kseg.transforms.noise import NoiseReference
from kseg.transforms.phantom import ORACLES, Phantom, make_phantom

_PACKED = tuple(ending + packed for ending in FORMATS for packed in ("", ".gz"))
# A fuzzy head is many files; the one of its fluid stands for all.
_FLUID = tuple(f"_csf{volume}{ending}" for volume in ("", "_v") for ending in _PACKED)

SOURCES = {
    "freesurfer": (".nii", ".nii.gz"),
    "brainweb_20": _PACKED,
    "brainweb_normal": _PACKED,
    "brainweb_20_fuzzy": _FLUID,
    "brainweb_normal_fuzzy": _FLUID,
}
"""Endings of the files of each source of heads."""

PATTERNS: dict[str, type[SampleKSpaced]] = {
    "gaussian": GaussianLinesd,
    "uniform": UniformLinesd,
    "equispaced": EquispacedLinesd,
    "poisson": PoissonDiscd,
}
"""The transform that draws each pattern of samples."""

_STAGE = "simulate"


@dataclass(frozen=True)
class SimulationSettings:
    """What is scanned, and how.

    Attributes:
        source: what the files are, one of `SOURCES`: label maps with the codes of FreeSurfer (and CHARM), or
            crisp or fuzzy models of BrainWeb.
        oracle: how a thick voxel gets its label, one of `ORACLES`.
        grid: acquired voxels.
        protocol: sequence, tissues and coils.
        noise: noise level.
        noise_reference: what the level is relative to; the signal of a tissue is that of the nominal sequence.
        pattern: which samples are measured, one of `PATTERNS`.
        fraction: share of samples, in (0, 1].
        center_lines: central lines (for `poisson` the side of the central square) that are always sampled.
        mask_per: `volume` for one mask, `slice` for one per slice.
        seed: seed of everything random, 0 or more.

    Raises:
        ValueError: a value that is not among the choices, or a negative seed.
    """

    source: str = "freesurfer"
    oracle: str = "majority"
    grid: AcquisitionGrid = field(default_factory=AcquisitionGrid)
    protocol: ScanProtocol = field(default_factory=ScanProtocol)
    noise: float = 0.1
    noise_reference: NoiseReference = "csf"
    pattern: str = "gaussian"
    fraction: float = 0.3
    center_lines: int = 16
    mask_per: Literal["volume", "slice"] = "volume"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in {"source": SOURCES, "oracle": ORACLES, "pattern": PATTERNS}.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, received {value!r}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected 0..2**63 - 1, received {self.seed}")


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A scan with everything that is known about it.

    Attributes:
        volume: noisy, under-sampled k-space.
        image: fully sampled, noise-free magnitude `(slice, y, x)`.
        phantom: the head that was scanned.
        sequence: the sequence, with the times that were drawn.
    """

    volume: KSpaceVolume
    image: Tensor
    phantom: Phantom
    sequence: str


def simulate(labels: Path, output: Path, settings: SimulationSettings) -> BatchResult:
    """Simulate the scan of a head or of every head below a folder.

    Writes `OUTPUT/kspace/NAME.h5`, `OUTPUT/labels/NAME.nii.gz` (the oracle on the acquisition grid) and
    `OUTPUT/images/NAME.nii.gz` (fully sampled, noise-free magnitude), in the relative folder of the input, and
    one line per head to `OUTPUT/results.jsonl`.

    Args:
        labels: label map or model, or a folder of them. A fuzzy model is a file for each tissue, named by the
            one of its fluid: `subject04_csf_v.rawb.gz` stands for `subject04_*`.
        output: output folder, made if missing.
        settings: what is scanned, and how.

    Raises:
        InputError: the input or the output folder cannot be used.
        ValueError: settings that do not fit into each other, such as more central than sampled lines.
    """
    try_out(settings)
    cases = find_files(labels, SOURCES[settings.source], output)

    def work(item: Item) -> dict[str, Any]:
        case, path = item.case, item.path
        if path.resolve() in {written.resolve() for written in _paths(output, case).values()}:
            raise InputError(path, _STAGE, "an output folder whose files do not replace it", str(output))
        head = read_head(path, case, settings.source)
        phantom = make_phantom(head, case, grid=settings.grid, oracle=settings.oracle)
        scan = simulate_scan(phantom, settings)
        write_scan(scan, output, case)
        sampled = round(float(scan.volume.mask.float().mean()), 4)
        return {"sequence": scan.sequence, "sigma": scan.volume.sigma, "sampled": sampled}

    if not cases:
        return BatchResult()
    with open_records(output / "results.jsonl") as records:
        return run_batch(list_items(cases), InProcess(work, _STAGE), stage=_STAGE, records=records)


def simulate_scan(phantom: Phantom, settings: SimulationSettings) -> SimulatedScan:
    """Scan a phantom; the same phantom name and seed give the same scan.

    Args:
        phantom: the head; its `subject` enters the seed.
        settings: how it is scanned.

    Raises:
        ValueError: settings that do not fit the phantom, such as more central than sampled lines.
    """
    seed, name = settings.seed, "subject"
    scan = ScanKSpaced("kspace", settings.protocol, seed=seed, item_key=name)
    add_noise = AddNoised(
        "kspace", settings.noise, settings.noise_reference, settings.protocol, seed=seed, item_key=name
    )
    draw = MaskDraw(settings.mask_per, seed=seed, item_key=name)
    sample = PATTERNS[settings.pattern]("kspace", settings.fraction, settings.center_lines, draw=draw)
    clean = scan({"kspace": phantom, name: phantom.subject})
    item = sample(add_noise(clean))
    known = item["kspace_meta_dict"]
    return SimulatedScan(
        volume=KSpaceVolume(
            kspace=item["kspace"],
            mask=item["mask"],
            affine=phantom.affine,
            sigma=known["sigma"],
            seed=seed,
            subject=phantom.subject,
        ),
        image=root_sum_of_squares(ifft2c(clean["kspace"])),
        phantom=phantom,
        sequence=known["sequence"],
    )


def write_scan(scan: SimulatedScan, output: Path, case: str) -> None:
    """Write k-space, oracle labels and reference image of a scan; see `simulate`.

    Args:
        scan: what to write.
        output: output folder, made if missing.
        case: relative folder and name.
    """
    paths = _paths(output, case)
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(paths["labels"], to_nifti_axes(scan.phantom.labels), scan.phantom.affine)
    write_nifti(paths["images"], to_nifti_axes(scan.image), scan.phantom.affine)
    # The k-space comes last: where it is, the rest is.
    write_kspace(paths["kspace"], scan.volume)


def to_nifti_axes(values: Tensor) -> Any:
    """Turn (slice, y, x) into a NIfTI array (x, y, slice); nothing is flipped."""
    return values.permute(2, 1, 0).contiguous().numpy()


def try_out(settings: SimulationSettings) -> None:
    """Scan a slice of air, so that settings that cannot work stop a run before the first head does.

    Args:
        settings: how heads will be scanned.

    Raises:
        ValueError: settings that do not fit into each other.
    """
    _, n_y, n_x = settings.grid.shape
    air, labels = torch.ones(1, 1, n_y, n_x), torch.zeros(1, n_y, n_x, dtype=torch.uint8)
    simulate_scan(Phantom(air, ("air",), labels, np.eye(4), "air"), settings)


def read_head(path: Path, case: str, source: str) -> Head:
    """Read a head.

    Args:
        path: label map or model; of a fuzzy model the file of its fluid.
        case: relative folder and name.
        source: what the file is, one of `SOURCES`.

    Raises:
        InputError: a file that cannot be used.
        ValueError: codes that the source does not know.
    """
    if source == "freesurfer":
        return head_from_labels(read_label_map(path), load_label_codes(source))
    if source.endswith("_fuzzy"):
        return read_brainweb_fuzzy(path.parent, Path(case).name, source.removesuffix("_fuzzy"))
    return read_brainweb(path, source)


def _paths(output: Path, case: str) -> dict[str, Path]:
    endings = {"kspace": ".h5", "labels": ".nii.gz", "images": ".nii.gz"}
    return {kind: output / kind / f"{case}{ending}" for kind, ending in endings.items()}
