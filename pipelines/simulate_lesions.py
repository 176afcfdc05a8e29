"""From label maps to patients with multiple sclerosis: three contrasts and the mask of their lesions."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.transforms import Compose

from kseg import __version__
from kseg.pipelines.batch import BatchResult, find_files, run_batch
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.engines import InProcess
from kseg.pipelines.items import Item, list_items
from kseg.pipelines.records import open_records, read_records
from kseg.pipelines.resume import resume
from kseg.pipelines.simulate import SOURCES, to_nifti_axes
from kseg.pipelines.stale_outputs import StaleOutputs
from kseg.pipelines.volumes import describe_patient
from kseg.transforms.brain_regions import regions_from_labels, regions_of_mni152
from kseg.transforms.errors import InputError
from kseg.transforms.grid import GridRange
from kseg.transforms.head import head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.lesion_model import LesionModel
from kseg.transforms.mni152 import mni152_file, mni152_head
from kseg.transforms.nifti import read_label_map, write_nifti
from kseg.transforms.rand_patient import RandContrastsd, RandHeadVolumed, RandLesionsd
from kseg.transforms.seeds import item_seed

EMBEDDED = "mni152"
"""The name that stands for the embedded head where no file has it."""

CONTRAST_NAMES = ("T1w", "T2w", "FLAIR")
"""Endings of the images, in the order of the channels."""

_SOURCE = "freesurfer"
_STAGE = "simulate lesions"


@dataclass(frozen=True)
class LesionSettings:
    """Which patients are made.

    Attributes:
        count: patients of every head, 1 to 999.
        seed: seed of everything random, 0 or more.
        model: number, place, size and confluence of the lesions.
        own: how often lesions that a head has are left, 0 to 1.
        noise: range of the noise level, relative to the signal of white matter.

    Raises:
        ValueError: a value outside its range.
    """

    count: int = 1
    seed: int = 0
    model: LesionModel = field(default_factory=LesionModel)
    own: float = 0.1
    noise: tuple[float, float] = (0.02, 0.06)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 999:
            raise ValueError(f"count: expected 1..999 patients of every head, received {self.count}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected 0..2**63 - 1, received {self.seed}")
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ValueError(
                f"noise: expected a range that rises from 0 or more, received {list(self.noise)}"
            )

    def identity(self) -> dict[str, Any]:
        """What a patient depends on, besides its name and its head."""
        return {name: value for name, value in asdict(self).items() if name != "count"}

    def transform(self) -> Compose:
        """What makes a patient."""
        return Compose(
            [RandLesionsd(self.model, self.own), RandHeadVolumed(), RandContrastsd(noise=self.noise)]
        )


def simulate_lesions(
    heads: Path, output: Path, settings: LesionSettings, *, resumed: bool = True
) -> BatchResult:
    """Make patients of a head or of every head below a folder.

    Writes `OUTPUT/images/NAME_T1w.nii.gz`, `NAME_T2w.nii.gz` and `NAME_FLAIR.nii.gz` (magnitude, float32, on one
    grid of 0.7 x 0.7 x 3 mm) and `OUTPUT/labels/NAME.nii.gz` (1 where lesion, uint8), in the relative folder of the
    head, and one line per patient to `OUTPUT/results.jsonl`. Where several patients are made of every head, NAME
    is that of the head and a number. A run that was stopped goes on where it was.

    Args:
        heads: label map with the codes of FreeSurfer (and CHARM), a folder of them, or `EMBEDDED`.
        output: output folder, made if missing.
        settings: which patients.
        resumed: leave what an earlier run has done.

    Raises:
        InputError: the input or the output folder cannot be used.
        ValueError: settings outside their range.
    """
    cases = _patients(_heads(heads, output), settings.count)
    if not cases:
        return BatchResult()
    transform = settings.transform()
    # As a record has it once it is read again: with lists in the place of tuples.
    identity = json.loads(json.dumps({"settings": settings.identity(), "kseg_version": __version__}))
    read_head = lru_cache(maxsize=1)(_read_head)

    def work(item: Item) -> dict[str, Any]:
        paths = _paths(output, item.case)
        if item.path.resolve() in {written.resolve() for written in paths.values()}:
            raise InputError(item.path, _STAGE, "an output folder whose files do not replace it", str(output))
        given = read_head(item.path)
        head, placed = given["head"], given["placed"]
        transform.set_random_state(seed=item_seed(settings.seed, item.case) % 2**32)
        patient = transform(given)
        assert isinstance(patient, dict)
        affine = placed.affine(head.affine, head.spacing_mm)
        for name, image in zip(CONTRAST_NAMES, patient["image"], strict=True):
            paths[name].parent.mkdir(parents=True, exist_ok=True)
            write_nifti(paths[name], to_nifti_axes(image), affine)
        paths["label"].parent.mkdir(parents=True, exist_ok=True)
        # The mask comes last: where it is, the rest is.
        write_nifti(paths["label"], to_nifti_axes(patient["label"][0]), affine)
        written = {each.relative_to(output).as_posix(): file_sha256(each) for each in paths.values()}
        return {"lesion_fraction": round(float(patient["label"].float().mean()), 8), "outputs": written}

    with open_records(output / "results.jsonl") as records:
        earlier = read_records([output / "results.jsonl"]) if resumed else {}
        plan = resume(list_items(cases), earlier, identity, output, retry_failed=True)
        result = run_batch(
            plan.todo,
            InProcess(work, _STAGE),
            stage=_STAGE,
            records=records,
            common=identity,
            settle=StaleOutputs(output, [output / "results.jsonl"]).settle,
        )
    return BatchResult(result.done, result.failed, plan.done)


def mean_lesion_fraction(output: Path) -> float | None:
    """Share of the voxels of a volume that is lesion, the mean over all patients that were made in a folder.

    It is what `ExponentialCrossEntropy` weights by.

    Args:
        output: as of `simulate_lesions`.

    Returns:
        The share, in [0, 1], or None where there is no patient.

    Raises:
        InputError: no records in the folder.
    """
    records = read_records([output / "results.jsonl"]).values()
    shares = [record["lesion_fraction"] for record in records if "lesion_fraction" in record]
    return math.fsum(shares) / len(shares) if shares else None


def _heads(heads: Path, output: Path) -> dict[str, list[Path]]:
    if str(heads) == EMBEDDED and not heads.exists():
        return {EMBEDDED: [mni152_file()]}
    return find_files(heads, SOURCES[_SOURCE], output)


def _read_head(path: Path) -> dict[str, Any]:
    """What the patients of one head have in common."""
    if path == mni152_file():
        head = mni152_head()
        regions = regions_of_mni152(head)
    else:
        volume, codes = read_label_map(path), load_label_codes(_SOURCE)
        head, regions = head_from_labels(volume, codes), regions_from_labels(volume, codes)
    return {"head": head, **describe_patient(head, regions, GridRange())}


def _patients(heads: Mapping[str, list[Path]], count: int) -> dict[str, list[Path]]:
    """Files of each patient; those of one head follow each other, for the head is read once."""
    if count == 1:
        return dict(heads)
    return {f"{head}_{number:03d}": paths for head, paths in heads.items() for number in range(1, count + 1)}


def _paths(output: Path, case: str) -> dict[str, Path]:
    images = {name: output / "images" / f"{case}_{name}.nii.gz" for name in CONTRAST_NAMES}
    return {**images, "label": output / "labels" / f"{case}.nii.gz"}
