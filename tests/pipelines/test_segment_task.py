import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from kseg.pipelines.digest import file_sha256
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segment_task import IDENTITY, SegmentTask
from kseg.transforms.errors import InputError


def test_a_record_has_to_agree_on_weights_configuration_and_settings(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = SegmentSettings(fraction=0.5)
    identity = SegmentTask(tmp_path, str(tiny_bundle), settings).identity()
    assert tuple(identity) == IDENTITY
    assert identity == {
        "weights_sha256": file_sha256(tiny_bundle / "models" / "model.pt"),
        "configuration_sha256": file_sha256(tiny_bundle / "configs" / "inference.json"),
        "contrasts": [],
        "labels": ["background", "CSF", "GM", "WM"],
        "settings": asdict(settings),
    }


def test_the_order_of_the_contrasts_is_part_of_it(
    small_bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle("ms_lesion_segmentation"), bundle)
    task = SegmentTask(tmp_path, str(bundle), SegmentSettings())
    before = task.identity()
    assert before["contrasts"] == ["T1w", "T2w", "FLAIR"]
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    channels = metadata["network_data_format"]["inputs"]["image"]["channel_def"]
    channels["0"], channels["1"] = channels["1"], channels["0"]
    path.write_text(json.dumps(metadata))
    assert task.identity() == {**before, "contrasts": ["T2w", "T1w", "FLAIR"]}


def test_a_bundle_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text("{}")
    with pytest.raises(InputError, match=r"models/model\.pt: read bundle: expected a file"):
        SegmentTask(tmp_path, str(tmp_path), SegmentSettings()).identity()


def test_it_travels_and_the_one_who_leads_needs_no_pytorch(tmp_path: Path) -> None:
    task = SegmentTask(tmp_path, "b", SegmentSettings(seed=3))
    assert pickle.loads(pickle.dumps(task)) == task
    code = "import sys, kseg.pipelines.segment; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
