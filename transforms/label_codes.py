"""Which integer of a label map means which tissue: the code tables of the known sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

_TABLES = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class LabelCodes:
    """A code table.

    Attributes:
        name: which source the table belongs to.
        tissues: tissue names; their order is the order of fractions made with this table, air first.
        tissue_of_code: index into tissues for each known code.
        regions: codes of each region of the brain, see `kseg.transforms.brain_regions`; empty where the source does
            not tell them apart.
    """

    name: str
    tissues: tuple[str, ...]
    tissue_of_code: dict[int, int]
    regions: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def tissue_indices(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Translate a label map, any shape, to indices into `tissues`.

        Raises:
            ValueError: codes that the table does not know.

        Example:
            >>> load_label_codes("brainweb_20").tissue_indices(np.array([0, 3, 2]))
            array([0, 3, 2], dtype=uint8)
        """
        present = np.unique(codes)
        unknown = [int(code) for code in present if int(code) not in self.tissue_of_code]
        if unknown:
            shown = ", ".join(map(str, unknown[:10])) + (" ..." if len(unknown) > 10 else "")
            raise ValueError(f"label codes: expected codes of the table {self.name}, received {shown}")
        index = np.array([self.tissue_of_code[int(code)] for code in present], dtype=np.uint8)
        lookup = np.zeros(int(present.max(initial=0)) + 1, dtype=np.uint8)
        lookup[present] = index
        indices: npt.NDArray[np.uint8] = lookup[codes]
        return indices


def load_label_codes(name: str) -> LabelCodes:
    """Read a shipped code table.

    Args:
        name: `freesurfer` (FreeSurfer with SAMSEG/CHARM codes outside the brain), `brainweb_20` (the 20
            normal models) or `brainweb_normal` (the original single phantom, whose codes differ).

    Raises:
        ValueError: no such table.

    Example:
        >>> codes = load_label_codes("freesurfer")
        >>> codes.tissues[codes.tissue_of_code[42]]
        'gm'
    """
    path = _TABLES / f"labels_{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem.removeprefix("labels_") for p in _TABLES.glob("labels_*.yaml")))
        raise ValueError(f"label codes: expected one of {names}, received {name!r}")
    table: dict[str, dict[str, list[int]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    tissues = table["tissues"]
    tissue_of_code = {code: index for index, codes in enumerate(tissues.values()) for code in codes}
    return LabelCodes(name, tuple(tissues), tissue_of_code, table.get("regions", {}))
