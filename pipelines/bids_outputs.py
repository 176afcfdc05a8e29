"""Names and companions of what BIDS derivatives hold.

Reference: Brain Imaging Data Structure 1.11, derivatives of imaging data, https://bids-specification.readthedocs.io
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kseg import __version__
from kseg.pipelines.bids_inputs import DESCRIPTION
from kseg.pipelines.provenance import Provenance
from kseg.transforms.atomic import atomic_path

_BIDS_VERSION = "1.10.0"
_STEM = re.compile(r".*_desc-[0-9a-zA-Z+]*?(?P<suffix>T1w|T2w|PDw|FLAIR)(?:kspace)?")
_SOURCE = re.compile(r"(?:sourcedata/)?sub-[^/]+/(?:ses-[^/]+/)?anat/[^/]+$")
# What BIDS has no name for is told to its validator.
_IGNORED = ("*_uncertainty.nii.gz", "*.jsonl", "summary.json")
# Indices that BIDS gives to the tissues of every dataset.
_MAPPING = {"background": 0, "GM": 1, "WM": 2, "CSF": 3}
_README = """Segmentations that kseg made of the scans of another dataset.

`dseg.tsv` names the labels; `dataset_description.json` tells the version, the bundle and the digest of its weights.
"""


def derivative_name(stem: str, ending: str) -> str:
    """Name a result as BIDS does.

    Args:
        stem: entities up to `desc`, which ends in the suffix of the scan; see `find_bids`.
        ending: what it is: `seg`, `prob`, `recon`, `recurrences` or `uncertainty`.

    Raises:
        ValueError: another stem.

    Example:
        >>> derivative_name("sub-1_desc-T2w", "seg"), derivative_name("sub-1_desc-T2w", "recon")
        ('sub-1_desc-T2w_dseg.nii.gz', 'sub-1_desc-T2wreconstruction_T2w.nii.gz')
    """
    match = _STEM.fullmatch(stem)
    if match is None:
        raise ValueError(f"BIDS name: expected entities that end in desc-...T2w or the like, received {stem}")
    if ending == "recon":
        return f"{stem}reconstruction_{match['suffix']}.nii.gz"
    parts = {"seg": "_dseg", "prob": "_probseg", "recurrences": "recurrences_probseg"}
    return f"{stem}{parts.get(ending, f'_{ending}')}.nii.gz"


def write_sidecar(path: Path, ending: str, sources: Sequence[Path], labels: tuple[str, ...]) -> list[Path]:
    """Write the JSON file that lies beside a result, if BIDS has one.

    Args:
        path: the result, `.nii.gz`.
        ending: what it is, see `derivative_name`.
        sources: files of the scan or of its contrasts, at least one; the result lies on the grid of the first.
        labels: name of each class.

    Returns:
        The file, or nothing.
    """
    special: dict[str, dict[str, Any]] = {
        "seg": {"Description": "Class of each voxel; dseg.tsv names the labels", "Manual": False},
        "prob": {"Description": "Probability of each class", "LabelMap": list(labels)},
        "recurrences": {
            "Description": "Probability of each class (fourth axis) in each pass of the network (fifth axis)",
            "LabelMap": list(labels),
        },
        "recon": {"Description": "Magnitude of the network's last image, normalised", "SkullStripped": False},
    }
    if ending not in special:
        return []
    uris = [_uri(source) for source in sources]
    beside = path.with_name(f"{path.name.removesuffix('.nii.gz')}.json")
    _write_json(beside, {**special[ending], "Sources": uris, "SpatialReference": uris[0]})
    return [beside]


def write_dataset_files(output: Path, source: Path, provenance: Provenance) -> list[Path]:
    """Write what a BIDS dataset of derivatives has once: its description, its labels, what is not of BIDS.

    The same arguments give the same bytes, so that several processes may write at once.

    Args:
        output: output folder, made if missing.
        source: folder of the dataset that is segmented.
        provenance: with what it is segmented.

    Returns:
        The files.

    Raises:
        OSError: the folder cannot be written to.
    """
    raw = Path(os.path.relpath(source.resolve(), output.resolve())).as_posix()
    made_by = (
        f"bundle {provenance.bundle} {provenance.bundle_version}, weights SHA-256 {provenance.weights_sha256}"
    )
    description = {
        "Name": "Segmentations by kseg",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "kseg", "Version": __version__, "Description": made_by}],
        "SourceDatasets": [{"URL": raw}],
        "DatasetLinks": {"raw": raw},
    }
    table = ["index\tname\tmapping"]
    table += [f"{index}\t{name}\t{_MAPPING.get(name, 'n/a')}" for index, name in enumerate(provenance.labels)]
    texts = {
        "dseg.tsv": "\n".join(table) + "\n",
        "README.md": _README,
        ".bidsignore": "\n".join(_IGNORED) + "\n",
    }
    output.mkdir(parents=True, exist_ok=True)
    _write_json(output / DESCRIPTION, description)
    for name, text in texts.items():
        _write_text(output / name, text)
    return [output / name for name in (DESCRIPTION, *texts)]


def _uri(source: Path) -> str:
    match = _SOURCE.search(source.as_posix())
    return f"bids:raw:{match[0] if match else source.name}"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
