"""The lesion bundle: what its configurations share, and that MONAI's workflow writes what `kseg segment` does."""

import ast
import json
import math
import shlex
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.evaluate import bundle_classes, evaluate
from kseg.pipelines.metrics_lesions import LesionRule
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate_lesions import EMBEDDED, LesionSettings, simulate_lesions

CONFIGS = find_bundle("ms_lesion_segmentation") / "configs"
README = (CONFIGS.parent / "docs" / "README.md").read_text()


def config(name: str) -> dict:
    return json.loads((CONFIGS / f"{name}.json").read_text())


def test_training_and_inference_normalise_alike() -> None:
    assert config("train")["normalisation"] == config("inference")["normalisation"]
    assert "@normalisation" in config("train")["train"]["preprocessing"]["transforms"]
    assert "@normalisation" in config("train")["validate"]["preprocessing"]["transforms"]
    assert "@normalisation" in config("inference")["preprocessing"]["transforms"]


def test_the_workflow_and_kseg_segment_look_for_the_same_contrasts() -> None:
    channels = config("metadata")["network_data_format"]["inputs"]["image"]["channel_def"]
    assert config("inference")["contrasts"] == [channels[str(number)] for number in range(len(channels))]


def test_the_loss_of_the_paper_is_one_override_away() -> None:
    command = next(line for line in README.splitlines() if "ExponentialCrossEntropy'" in line)
    overrides = ast.literal_eval(shlex.split(command)[-1])
    parser = ConfigParser(config("train"))
    parser.update({"loss": overrides})
    loss = parser.get_parsed_content("loss")
    logits = torch.zeros(4, 2, 3, 3, 3, requires_grad=True)
    labels = torch.zeros(4, 1, 3, 3, 3)
    labels[0, 0, 0, 0, 0] = 1.0
    found = loss(logits, labels)
    assert found.item() == pytest.approx(math.log(2))
    found.backward()
    lesion, background = logits.grad[0, 1, 0, 0, 0], logits.grad[1, 1, 0, 0, 0]
    assert -lesion / background == pytest.approx(math.exp(1 - 2 * overrides["lesion_fraction"]))


def test_what_does_not_depend_on_the_task_is_that_of_the_first_bundle() -> None:
    of_brain = find_bundle("brain_kspace_segmentation") / "configs"
    for name in ("logging.conf", "multi_gpu_train.json", "multi_gpu_evaluate.json"):
        assert (CONFIGS / name).read_text() == (of_brain / name).read_text()
    ours, theirs = config("train"), json.loads((of_brain / "train.json").read_text())
    for key in ("lr_scheduler", "initialize", "run", "network_def", "frozen", "precision"):
        assert ours[key] == theirs[key], key
    for key in ("handlers", "writers", "trainer", "prepare_batch", "network", "sampler"):
        assert ours["train"][key] == theirs["train"][key], key


@pytest.mark.usefixtures("seeded")
def test_the_workflow_writes_what_kseg_segment_writes(
    small_bundle, save_contrasts, monai, tmp_path: Path
) -> None:
    bundle = small_bundle("ms_lesion_segmentation")
    images = save_contrasts("site/a").parents[1]
    options = ("--bundle_root", bundle, "--dataset_dir", images, "--output_dir", tmp_path / "workflow")
    more = ("--flip", "True", "--uncertainty", "True", "--precision", "float32")
    ended = monai("run", "--config_file", bundle / "configs" / "inference.json", *options, *more)
    assert ended.returncode == 0, ended.stdout
    settings = SegmentSettings(flip=True, uncertainty=True, precision="float32")
    assert segment(images, tmp_path / "command", str(bundle), settings).exit_code == 0
    written = sorted(
        path.relative_to(tmp_path / "workflow") for path in (tmp_path / "workflow").rglob("*.gz")
    )
    assert written == [Path("site/a_seg.nii.gz"), Path("site/a_uncertainty.nii.gz")]
    masks, entropies = (
        [nibabel.load(tmp_path / folder / name) for folder in ("workflow", "command")] for name in written
    )
    assert np.array_equal(masks[0].dataobj, masks[1].dataobj)
    # Another number of threads adds up in another order.
    np.testing.assert_allclose(entropies[0].dataobj, entropies[1].dataobj, rtol=0, atol=1e-5)
    for one, other in (masks, entropies):
        assert np.array_equal(one.affine, other.affine)


def test_a_missing_contrast_ends_the_workflow_with_its_name(
    small_bundle, save_contrasts, monai, tmp_path: Path
) -> None:
    bundle = small_bundle("ms_lesion_segmentation")
    first = save_contrasts("site/a")
    first.with_name("a_FLAIR.nii.gz").unlink()
    options = ("--bundle_root", bundle, "--dataset_dir", first.parents[1], "--output_dir", tmp_path / "out")
    ended = monai("run", "--config_file", bundle / "configs" / "inference.json", *options)
    assert ended.returncode != 0
    expected = f"{first}: find contrasts: expected one image a_FLAIR beside it, received none"
    assert expected in ended.stdout
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read_ends_the_workflow_with_its_name(
    small_bundle, save_contrasts, monai, tmp_path: Path
) -> None:
    bundle = small_bundle("ms_lesion_segmentation")
    first = save_contrasts("site/a")
    first.with_name("a_T2w.nii.gz").write_bytes(b"no image")
    options = ("--bundle_root", bundle, "--dataset_dir", first.parents[1], "--output_dir", tmp_path / "out")
    ended = monai("run", "--config_file", bundle / "configs" / "inference.json", *options)
    assert ended.returncode != 0
    assert f"{first.with_name('a_T2w.nii.gz')}: read NIfTI: expected " in ended.stdout


def test_the_shipped_weights_find_the_lesions_of_a_patient_of_the_embedded_head(tmp_path: Path) -> None:
    simulate_lesions(Path(EMBEDDED), tmp_path, LesionSettings(seed=3))
    segment(tmp_path / "images", tmp_path / "masks", "ms_lesion_segmentation", SegmentSettings())
    found = evaluate(
        tmp_path / "masks",
        tmp_path / "labels",
        tmp_path / "metrics.csv",
        classes=bundle_classes("ms_lesion_segmentation"),
        lesions=LesionRule(("lesion",)),
    )
    (lesion,) = found.classes
    assert lesion.lesions is not None
    assert lesion.lesions.n_reference > 3
    assert lesion.lesions.true_positive_rate > 0.8
    assert lesion.lesions.false_positives_per_case <= 3
    assert lesion.sample_dice > 0.8
