import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.provenance import read_provenance
from kseg.transforms.errors import InputError


def save_bundle(root: Path, metadata: Any) -> Path:
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (root / "models" / "model.pt").write_bytes(b"weights")
    return root


def classes(named: dict[str, str]) -> dict[str, Any]:
    return {"version": "0.2.0", "network_data_format": {"outputs": {"pred": {"channel_def": named}}}}


def test_a_bundle_says_its_version_the_digest_of_its_weights_and_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = save_bundle(tmp_path / "mine", classes({"0": "background", "2": "WM", "1": "CSF"}))
    provenance = read_provenance(str(root))
    assert (provenance.bundle, provenance.bundle_version) == ("mine", "0.2.0")
    monkeypatch.chdir(root)
    assert read_provenance(".").bundle == "mine"
    assert provenance.weights_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert provenance.labels == ("background", "CSF", "WM")


def test_the_shipped_bundle_names_its_tissues() -> None:
    assert read_provenance("brain_kspace_segmentation").labels == ("background", "CSF", "GM", "WM")


@pytest.mark.parametrize("metadata", [{}, {"network_data_format": []}, classes({"1": "CSF", "2": "WM"})])
def test_classes_without_names(metadata: Any, tmp_path: Path) -> None:
    root = save_bundle(tmp_path / "mine", metadata)
    message = r"metadata\.json: read bundle: expected a name for each class in .*, received (Key|Type)Error$"
    with pytest.raises(InputError, match=message):
        read_provenance(str(root))


def test_a_bundle_without_weights(tmp_path: Path) -> None:
    root = save_bundle(tmp_path / "mine", classes({"0": "background"}))
    (root / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"model\.pt: read bundle: expected a file, received No such file"):
        read_provenance(str(root))
