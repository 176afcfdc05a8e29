"""Images of several contrasts in, masks out: on whose grid, and what is said of those that do not fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import kseg.pipelines.segment_work as module
from kseg.pipelines.contrast_segmenter import ContrastSegmenter
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.manifest import Shard
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import to_nifti_axes
from kseg.pipelines.summary import write_summary
from kseg.transforms.errors import InputError
from kseg.transforms.grid import AcquisitionGrid, PlacedGrid
from kseg.transforms.nifti import write_nifti

# Axes of the file point to the left, to the head and to the front; voxels are those of the network.
AFFINE = np.array([[-0.7, 0, 0, 20], [0, 0, 0.7, -30], [0, 3, 0, 5], [0, 0, 0, 1]])
SHAPE = (40, 12, 36)
CONTRASTS = ("T1w", "T2w", "FLAIR")


class BrightFlair(nn.Module):
    """Calls lesion what is bright in the last contrast, whatever the others say."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(50.0))

    def forward(self, x: Tensor) -> Tensor:
        lesion = self.gain * (x[:, 2:] - 0.6)
        return torch.cat([torch.zeros_like(lesion), lesion], 1)


@pytest.fixture
def bundle(small_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The small copy of the lesion bundle, with a network that is known."""
    monkeypatch.setattr(module, "load_network", lambda *_, **__: BrightFlair().eval())
    return str(small_bundle("ms_lesion_segmentation"))


def save(
    folder: Path, name: str, affine: NDArray[np.float64] = AFFINE, shape: tuple[int, ...] = SHAPE
) -> NDArray[np.bool_]:
    """Write a case whose FLAIR has a bright box; gives the box."""
    folder.mkdir(parents=True, exist_ok=True)
    lesion = np.zeros(shape, bool)
    lesion[tuple(slice(count // 4, count // 2) for count in shape)] = True
    generator = np.random.default_rng(0)
    for contrast in CONTRASTS:
        image = 100 * generator.random(shape, np.float32)
        if contrast == "FLAIR":
            image[lesion] = 400
        write_nifti(folder / f"{name}_{contrast}.nii.gz", image, affine)
    return lesion


def voxels(path: Path) -> NDArray[np.uint8]:
    return np.asanyarray(nibabel.load(path).dataobj)


@pytest.mark.parametrize("flip", [False, True])
def test_the_mask_lies_where_the_lesion_is_on_the_grid_of_the_files(
    flip: bool, bundle: str, tmp_path: Path
) -> None:
    lesion = save(tmp_path / "in" / "site", "a")
    settings = SegmentSettings(probabilities=True, uncertainty=True, flip=flip)
    assert segment(tmp_path / "in", tmp_path / "out", bundle, settings).exit_code == 0
    written = nibabel.load(tmp_path / "out/site/a_seg.nii.gz")
    assert np.array_equal(written.affine, nibabel.load(tmp_path / "in/site/a_T1w.nii.gz").affine)
    assert np.array_equal(voxels(tmp_path / "out/site/a_seg.nii.gz"), lesion)
    probabilities = voxels(tmp_path / "out/site/a_prob.nii.gz")
    assert probabilities.shape == (*SHAPE, 2)
    assert np.array_equal(probabilities.argmax(-1), lesion)
    assert voxels(tmp_path / "out/site/a_uncertainty.nii.gz").shape == SHAPE
    record = json.loads((tmp_path / "out/results.jsonl").read_text())
    assert record["sizes"] == {"x": 40, "y": 12, "z": 36}
    assert record["flip"] is flip


def test_images_of_other_voxels_are_resampled_and_masks_brought_back(bundle: str, tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    lesion = save(tmp_path / "in", "a", affine, (40, 48, 36))
    assert segment(tmp_path / "in", tmp_path / "out", bundle, SegmentSettings()).exit_code == 0
    found = voxels(tmp_path / "out/a_seg.nii.gz")
    assert found.shape == lesion.shape
    # The slices of the network are three times as thick.
    assert 2 * (found.astype(bool) & lesion).sum() / (found.sum() + lesion.sum()) > 0.85


def test_cases_that_do_not_fit_cost_themselves_alone(bundle: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder, "coarse", 20 * AFFINE - np.diag([0, 0, 0, 19]))
    for name in ("a", "dark", "missing", "moved", "other"):
        save(folder, name)
    dark = np.zeros(SHAPE, np.float32)
    dark[0, 0, 0] = 1
    write_nifti(folder / "dark_T2w.nii.gz", dark, AFFINE)
    (folder / "missing_FLAIR.nii.gz").unlink()
    moved = AFFINE.copy()
    moved[2, 3] += 1
    write_nifti(folder / "moved_T2w.nii.gz", dark, moved)
    (folder / "other_T1w.nii.gz").write_bytes(b"no image")
    result = segment(folder, tmp_path / "out", bundle, SegmentSettings())
    assert (result.done, result.exit_code) == (["a"], 1)
    assert result.failed.keys() == {"coarse", "dark", "missing", "moved", "other"}
    of = {case: reason.removeprefix(f"{folder}/") for case, reason in result.failed.items()}
    assert of["missing"] == (
        "missing_T1w.nii.gz: find contrasts: expected one image missing_FLAIR beside it, received none"
    )
    assert of["moved"] == (
        "moved_T2w.nii.gz: read contrasts: expected the same affine to 0.001, received a difference of 1"
    )
    assert of["coarse"].endswith(
        "coarse_FLAIR.nii.gz: resample: expected at most 1e+08 voxels once they are 3 x 0.7 x 0.7 mm, "
        "received 240 x 720 x 800 of voxels that are 60 x 14 x 14 mm"
    )
    assert of["dark"] == (
        "dark_T1w.nii.gz: segment: expected images that the bundle prepares, received image 2: expected values that "
        "differ between the percentiles 0.5 and 99.5, received 0 and 0"
    )
    assert of["other"].startswith("other_T1w.nii.gz: read NIfTI: expected ")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["a_seg.nii.gz"]


def test_a_case_is_done_again_when_any_of_its_images_changes(bundle: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    save(folder, "a")
    save(folder, "b")
    assert segment(folder, out, bundle, SegmentSettings()).done == ["a", "b"]
    assert segment(folder, out, bundle, SegmentSettings()).before == ["a", "b"]
    shutil.copy(folder / "b_T2w.nii.gz", folder / "b_FLAIR.nii.gz")
    again = segment(folder, out, bundle, SegmentSettings())
    assert (again.done, again.before) == (["b"], ["a"])
    shutil.copy(folder / "a_T1w.nii.gz", folder / "c_T1w.nii.gz")
    assert segment(folder, out, bundle, SegmentSettings()).failed.keys() == {"c"}


def test_a_bids_dataset_becomes_derivatives(bundle: str, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    lesion = save(dataset / "sub-1" / "anat", "sub-1")
    registered = save(dataset / "sub-2" / "anat", "sub-2")
    for contrast in ("T2w", "FLAIR"):
        path = dataset / "sub-2" / "anat" / f"sub-2_{contrast}.nii.gz"
        path.rename(path.with_name(f"sub-2_space-T1w_{contrast}.nii.gz"))
    (dataset / "dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.10.0"}')
    out = dataset / "derivatives" / "kseg"
    assert segment(dataset, out, bundle, SegmentSettings(bids=True)).exit_code == 0
    assert np.array_equal(voxels(out / "sub-1/anat/sub-1_desc-T1wT2wFLAIR_dseg.nii.gz"), lesion)
    assert np.array_equal(voxels(out / "sub-2/anat/sub-2_desc-T1wT2wFLAIR_dseg.nii.gz"), registered)
    for subject, names in (("sub-1", CONTRASTS), ("sub-2", ("T1w", "space-T1w_T2w", "space-T1w_FLAIR"))):
        said = json.loads((out / subject / "anat" / f"{subject}_desc-T1wT2wFLAIR_dseg.json").read_text())
        sources = [f"bids:raw:{subject}/anat/{subject}_{name}.nii.gz" for name in names]
        assert said["Sources"] == sources
        assert said["SpatialReference"] == sources[0]
    assert (out / "dseg.tsv").read_text().splitlines()[1:] == ["0\tbackground\t0", "1\tlesion\tn/a"]


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        (SegmentSettings(reconstruction=True), "reconstruction"),
        (SegmentSettings(recurrences=True), "recurrences"),
        (SegmentSettings(fraction=0.3), "fraction"),
        (SegmentSettings(center_lines=3), "center lines"),
        (SegmentSettings(seed=5), "seed"),
        (SegmentSettings(dicom_seg=True), "dicom seg"),
    ],
)
def test_what_only_kspace_has_is_refused(
    settings: SegmentSettings, asked: str, bundle: str, tmp_path: Path
) -> None:
    save(tmp_path / "in", "a")
    with pytest.raises(
        ValueError, match=rf"^{asked}: expected a bundle that takes k-space, received {bundle}$"
    ):
        segment(tmp_path / "in", tmp_path / "out", bundle, settings)
    assert not (tmp_path / "out").exists()


def test_an_orientation_that_is_a_guess_is_in_the_record(bundle: str, tmp_path: Path) -> None:
    save(tmp_path / "in", "a")
    save(tmp_path / "in", "b")
    for contrast in CONTRASTS:
        path = tmp_path / "in" / f"b_{contrast}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(voxels(path), None), path)
    assert segment(tmp_path / "in", tmp_path / "out", bundle, SegmentSettings()).exit_code == 0
    records = map(json.loads, (tmp_path / "out/results.jsonl").read_text().splitlines())
    note = "neither sform nor qform: the axes of the file are taken to point left, to the front and up"
    assert {record["case"]: record["notes"] for record in records} == {"a": [], "b": [note]}


@pytest.mark.parametrize("axes", ["RAS", "LSA", "PIR"])
def test_files_become_volumes_with_the_axes_of_training(axes: str, tmp_path: Path) -> None:
    # Written as `simulate_lesions` does it, and turned afterwards.
    spacing_mm = (0.5, 0.5, 0.5)
    placed = PlacedGrid(AcquisitionGrid((10, 24, 20), (3.0, 0.7, 0.7)), origin_mm=(1.0, 2.0, 3.0))
    image = torch.rand(3, *placed.grid.shape, generator=torch.Generator().manual_seed(0))
    for contrast, channel in zip(CONTRASTS, image, strict=True):
        path = tmp_path / f"a_{contrast}.nii.gz"
        write_nifti(path, to_nifti_axes(channel), placed.affine(np.diag([*spacing_mm, 1.0]), spacing_mm))
        stored = nibabel.load(path)
        turn = nibabel.orientations.axcodes2ornt(axes)
        nibabel.save(
            stored.as_reoriented(
                nibabel.orientations.ornt_transform(nibabel.io_orientation(stored.affine), turn)
            ),
            path,
        )
    segmenter = ContrastSegmenter("ms_lesion_segmentation", BrightFlair(), CONTRASTS, InferenceOptions())
    given = {"image": [str(tmp_path / f"a_{contrast}.nii.gz") for contrast in CONTRASTS]}
    prepared = segmenter.preprocessing(given)["image"].as_tensor()
    assert prepared.shape == image.shape
    low, high = (torch.quantile(image.flatten(1), q, dim=1)[:, None, None, None] for q in (0.005, 0.995))
    torch.testing.assert_close(prepared, (image - low) / (high - low), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "received"),
    [
        ("preprocessing", None, "none$"),
        ("inferer", {"_target_": "monai.inferers.SlidingWindowInferer", "roi": 3}, "TypeError: .*roi"),
        ("restoring", {"_target_": "monai.nothing"}, ".*monai.nothing"),
    ],
)
def test_a_configuration_that_lacks_a_part_or_cannot_build_it_is_named(
    name: str, value: object, received: str, small_bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(small_bundle("ms_lesion_segmentation"), tmp_path / "bundle")
    path = tmp_path / "bundle" / "configs" / "inference.json"
    config = json.loads(path.read_text())
    del config[name]
    path.write_text(json.dumps(config | ({name: value} if value else {})))
    message = rf"inference\.json: read bundle: expected {name} that can be built, received {received}"
    with pytest.raises(InputError, match=message):
        ContrastSegmenter(str(tmp_path / "bundle"), BrightFlair(), CONTRASTS, InferenceOptions())


def test_shards_in_processes_make_what_one_run_makes(
    small_bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    names = [next(name for name in "abcdefgh" if Shard(number, 2).holds(name)) for number in (1, 2)]
    for name in names:
        save(tmp_path / "in", name)
    bundle = str(small_bundle("ms_lesion_segmentation"))
    settings = SegmentSettings(probabilities=True, precision="float32")
    whole = segment(tmp_path / "in", tmp_path / "whole", bundle, settings)
    assert whole.done == sorted(names)
    for number, name in enumerate(names, start=1):
        run = RunSettings(engine="processes", shard=Shard(number, 2))
        assert segment(tmp_path / "in", tmp_path / "shards", bundle, settings, run).done == [name]
    merged = write_summary(tmp_path / "shards")
    assert (merged.done, merged.failed) == (whole.done, {})
    for name in names:
        one, other = (voxels(tmp_path / folder / f"{name}_prob.nii.gz") for folder in ("whole", "shards"))
        # Another number of threads adds up in another order.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
        assert np.ptp(one[..., 1]) > 1e-3
