import subprocess
import sys
from pathlib import Path

import pytest

from kseg.pipelines.bundle_folder import find_bundle, weights_file
from kseg.transforms.errors import InputError


def test_a_bundle_is_found_by_name_and_by_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    shipped = find_bundle("brain_kspace_segmentation")
    assert (shipped / "configs/inference.json").is_file()
    assert weights_file(shipped).is_file()
    bundle = tmp_path / "small_bundle"
    (bundle / "configs").mkdir(parents=True)
    assert find_bundle(str(bundle)) == bundle
    monkeypatch.chdir(tmp_path)
    assert find_bundle("small_bundle") == Path("small_bundle")
    (tmp_path / "brain_kspace_segmentation/configs").mkdir(parents=True)
    assert find_bundle("brain_kspace_segmentation") == shipped


def test_neither_a_name_nor_a_path_is_refused():
    expected = "one of .*brain_kspace_segmentation.* or the folder of a bundle"
    with pytest.raises(InputError, match=f"nothing: read bundle: expected {expected}, received neither"):
        find_bundle("nothing")


def test_a_bundle_is_found_without_loading_pytorch():
    code = "import sys, kseg.pipelines.bundle_folder; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
