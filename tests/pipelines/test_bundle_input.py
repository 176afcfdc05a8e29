import json
from pathlib import Path
from typing import Any

import pytest

from kseg.pipelines.bundle_input import read_contrasts
from kseg.transforms.errors import InputError


def save_bundle(root: Path, image: Any) -> str:
    (root / "configs").mkdir(parents=True)
    metadata = {"network_data_format": {"inputs": {"image": image}}}
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return str(root)


def test_contrasts_come_in_the_order_of_the_channels(tmp_path: Path) -> None:
    named = {"1": "T2w", "0": "FLAIR"}
    assert read_contrasts(save_bundle(tmp_path / "a", {"format": "magnitude", "channel_def": named})) == (
        "FLAIR",
        "T2w",
    )
    assert read_contrasts("ms_lesion_segmentation") == ("T1w", "T2w", "FLAIR")


def test_channels_of_kspace_are_no_contrasts(tmp_path: Path) -> None:
    named = {"0": "real part", "1": "imaginary part", "2": "mask"}
    assert read_contrasts(save_bundle(tmp_path / "a", {"format": "kspace", "channel_def": named})) == ()


@pytest.mark.parametrize(
    ("image", "received"),
    [({}, "KeyError"), ([], "TypeError"), ({"format": "magnitude", "channel_def": {"1": "T1w"}}, "KeyError")],
)
def test_metadata_that_do_not_tell_are_refused(image: Any, received: str, tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "a", image)
    message = rf"metadata\.json: read bundle: expected a name for each channel in .*, received {received}$"
    with pytest.raises(InputError, match=message):
        read_contrasts(bundle)
