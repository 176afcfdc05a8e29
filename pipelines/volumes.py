"""Training data: whole volumes of simulated patients, made anew in every epoch and never stored."""

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Compose

from kseg.pipelines.simulated_heads import SimulatedHeads
from kseg.transforms.brain_regions import Regions, regions_from_labels
from kseg.transforms.grid import GridRange, place_grid
from kseg.transforms.head import CrispHead
from kseg.transforms.label_codes import LabelCodes
from kseg.transforms.lesion_sites import lesion_sites
from kseg.transforms.nifti import NiftiVolume


class SimulatedVolumes(SimulatedHeads):
    """Patients, each simulated as a whole volume by random transforms; see `SimulatedHeads`.

    A transform that cuts several crops of a volume makes a list of items; `monai.data.DataLoader` joins them.

    Args:
        data: one mapping per head, with the path of its label map under `label_map`.
        transform: makes the network's input of `head`, `placed` (a grid as large as the head needs), `places` (sites
            of lesions), `subject` and `epoch`.
        codes: code table of the label maps, one that tells regions of the brain apart.
        seed: seed of the run.
        n_patients: patients that are made of every head in an epoch.
        grids: which grids there are; the defaults of `GridRange` if not given.

    Raises:
        InputError: a label map that cannot be used, or a head without cortex or white matter or too large for the
            grids.
        ValueError: no heads, or two of one name.
    """

    name = "simulated volumes"

    def __init__(
        self,
        data: Sequence[Mapping[str, str]],
        transform: Compose,
        codes: str = "freesurfer",
        seed: int = 0,
        n_patients: int = 1,
        grids: GridRange | None = None,
    ) -> None:
        self.grids = grids or GridRange()
        super().__init__(data, transform, codes, seed, range(n_patients))

    def describe(self, head: CrispHead, volume: NiftiVolume, codes: LabelCodes) -> dict[str, Any]:
        """The grid on a head, and where its lesions may begin."""
        return describe_patient(head, regions_from_labels(volume, codes), self.grids)

    def describe_part(self, subject: str, part: int) -> dict[str, Any]:
        """A name of its own for each of several patients of a head: a metric of volumes keeps them apart."""
        return {"subject": f"{subject}_{part}"} if len(self.parts) > 1 else {}


def describe_patient(head: CrispHead, regions: Regions, grids: GridRange) -> dict[str, Any]:
    """What patients of one head have in common: the grid on it, and where its lesions may begin.

    Args:
        head: the head.
        regions: its regions, see `kseg.transforms.brain_regions`.
        grids: which grids there are.

    Returns:
        `placed` and `places`.

    Raises:
        ValueError: a head without cortex or white matter, or too large for the grids.
    """
    cortex = head.membership("gm") > 0
    placed = place_grid(grids.fit(cortex, head.spacing_mm), cortex, head.spacing_mm)
    return {"placed": placed, "places": lesion_sites(head, regions)}
