"""Files in, masks out: on whose grid, with what beside them, and what the record says."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass
from torch import Tensor, nn

from kseg import __version__
from kseg.networks.inference import inference_dtype
from kseg.networks.seranet import SERANet, normalize_scan
from kseg.pipelines import segment_work as module
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.input_state import input_state
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import SimulationSettings, simulate_scan, write_scan
from kseg.transforms.errors import InputError
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import head_from_labels
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map, write_nifti
from kseg.transforms.phantom import make_phantom
from kseg.transforms.sampling import gaussian_lines

Save = Callable[..., Path]
ENDINGS = ("seg", "prob", "recon", "recurrences", "uncertainty")
SHIPPED = "brain_kspace_segmentation"
BESIDE = {"results.jsonl", "manifest.jsonl", "summary.json"}
OBLIQUE = np.array([[-0.9, 0.2, 0.3, 9.7], [0.2, 0.95, -0.4, -7.1], [0.1, -0.1, 3.1, 5.3], [0, 0, 0, 1]])


class CsfNetwork(SERANet):
    """Calls CSF what is bright in the zero-filled image."""

    def __init__(self) -> None:
        super().__init__(n_blocks=0, n_recurrences=0, n_filters=1, unet_channels=(2, 4))

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        image = normalize_scan(x, maps)[2]
        magnitude = torch.linalg.vector_norm(image, dim=1)
        bright = (magnitude > 0.75 * magnitude.amax(dim=(1, 2), keepdim=True)).float()
        return [image], [20 * torch.stack([1 - bright, bright, 0 * bright, 0 * bright], dim=1)]


@pytest.fixture
def csf_network(seeded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's network calls CSF what is bright."""
    monkeypatch.setattr(module, "load_network", lambda *_, **__: CsfNetwork().eval())
    monkeypatch.setattr(module, "read_inference_options", lambda _: InferenceOptions())


def save_image(
    path: Path, affine: NDArray[np.float64] | None = None, shape: tuple[int, ...] = (18, 20, 3)
) -> Path:
    array = np.random.default_rng(0).uniform(0, 9, shape).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, array, OBLIQUE if affine is None else affine)
    return path


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def voxels(path: Path) -> NDArray[np.generic]:
    return np.asanyarray(nibabel.load(path).dataobj)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_kspace_is_segmented_on_its_own_grid(save_kspace: Save, tiny_bundle: Path, tmp_path: Path) -> None:
    save_kspace(tmp_path / "in" / "site" / "a.h5")
    result = segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), SegmentSettings())
    assert (result.done, result.failed, result.exit_code) == (["site/a"], {}, 0)
    written = [
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
    ]
    assert set(written) == BESIDE | {"site/a_seg.nii.gz"}
    mask = nibabel.load(tmp_path / "out" / "site" / "a_seg.nii.gz")
    assert mask.shape == (18, 20, 3)
    assert mask.get_data_dtype() == np.uint8
    assert mask.header.get_xyzt_units()[0] == "mm"
    # NIfTI holds float32.
    np.testing.assert_array_equal(mask.affine, OBLIQUE.astype(np.float32))


def test_the_record_says_with_what(save_kspace: Save, tiny_bundle: Path, tmp_path: Path) -> None:
    save_kspace(tmp_path / "a.h5")
    run = RunSettings(device="cpu")
    segment(tmp_path / "a.h5", tmp_path / "out", str(tiny_bundle), SegmentSettings(), run)
    (record,) = records(tmp_path / "out")
    assert record.pop("seconds") >= 0
    assert datetime.fromisoformat(record.pop("finished")).utcoffset() == timedelta(0)
    processor = str(inference_dtype(torch.device("cpu"))).removeprefix("torch.")
    size, state = input_state([tmp_path / "a.h5"])
    assert record == {
        "case": "a",
        "input": str(tmp_path / "a.h5"),
        "size": size,
        "state": state,
        "input_sha256": file_sha256(tmp_path / "a.h5"),
        "status": "ok",
        "outputs": {"a_seg.nii.gz": file_sha256(tmp_path / "out" / "a_seg.nii.gz")},
        "sizes": {"slices": 3, "coils": 1, "y": 20, "x": 18},
        "sampled": 0.5,
        "notes": [],
        "flip": False,
        "precision": processor,
        "device": "cpu",
        "temperature": json.loads((tiny_bundle / "configs" / "inference.json").read_text())["temperature"],
        "bundle": "brain_kspace_segmentation",
        "contrasts": [],
        "labels": ["background", "CSF", "GM", "WM"],
        "bundle_version": json.loads((tiny_bundle / "configs" / "metadata.json").read_text())["version"],
        "weights_sha256": file_sha256(tiny_bundle / "models" / "model.pt"),
        "configuration_sha256": file_sha256(tiny_bundle / "configs" / "inference.json"),
        "settings": asdict(SegmentSettings()),
        "versions": {"kseg": __version__, "torch": torch.__version__},
    }


@pytest.mark.usefixtures("csf_network")
def test_structures_stay_where_they_are(save_head: Save, small_grid: AcquisitionGrid, tmp_path: Path) -> None:
    head = head_from_labels(
        read_label_map(save_head(tmp_path / "head.nii.gz")), load_label_codes("freesurfer")
    )
    phantom = make_phantom(head, "head", grid=small_grid)
    settings = SimulationSettings(noise=0.0, fraction=1.0, grid=small_grid)
    write_scan(simulate_scan(phantom, settings), tmp_path, "head")
    write = SegmentSettings(reconstruction=True)
    for source in ("kspace", "images"):
        segment(tmp_path / source, tmp_path / "out" / source, SHIPPED, write)
        mask = nibabel.load(tmp_path / "out" / source / "head_seg.nii.gz")
        oracle = nibabel.load(tmp_path / "labels" / "head.nii.gz")
        np.testing.assert_array_equal(mask.affine, oracle.affine)
        found, true = np.asarray(mask.dataobj) == 1, np.asarray(oracle.dataobj) == 1
        centres = [nibabel.affines.apply_affine(mask.affine, center_of_mass(each)) for each in (found, true)]
        # Fluid at the ends of the head shares its 3 mm with air, and is not called fluid there.
        assert (np.abs(centres[0] - centres[1]) < (0.3, 0.3, 1.5)).all()
        assert overlap(found, true) > 0.8
        assert all(overlap(np.flip(found, axis), true) < overlap(found, true) - 0.1 for axis in range(3))
        image, recon = (
            voxels(tmp_path / "images" / "head.nii.gz"),
            voxels(tmp_path / "out" / source / "head_recon.nii.gz"),
        )
        for index in range(image.shape[2]):
            scale = np.linalg.norm(recon[..., index]) / np.linalg.norm(image[..., index])
            np.testing.assert_allclose(recon[..., index], scale * image[..., index], atol=1e-4)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 3.0), (0.9, 1.4, 2.0)])
def test_masks_do_not_depend_on_how_an_image_is_stored(
    spacing_mm: tuple[float, float, float], tiny_bundle: Path, tmp_path: Path
) -> None:
    canonical = nibabel.load(save_image(tmp_path / "in" / "RAS.nii.gz", OBLIQUE @ np.diag([*spacing_mm, 1])))
    for axes in ("LAS", "LIA", "PSR", "SAL", "RPI"):
        to = ornt_transform(io_orientation(canonical.affine), axcodes2ornt(axes))
        turned = canonical.as_reoriented(to)
        write_nifti(tmp_path / "in" / f"{axes}.nii.gz", np.ascontiguousarray(turned.dataobj), turned.affine)
    settings = SegmentSettings(probabilities=True)
    assert segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), settings).exit_code == 0
    for ending in ("seg", "prob"):
        expected = nibabel.as_closest_canonical(nibabel.load(tmp_path / "out" / f"RAS_{ending}.nii.gz"))
        for axes in ("LAS", "LIA", "PSR", "SAL", "RPI"):
            source = nibabel.load(tmp_path / "in" / f"{axes}.nii.gz")
            received = nibabel.load(tmp_path / "out" / f"{axes}_{ending}.nii.gz")
            assert received.shape[:3] == source.shape
            np.testing.assert_array_equal(received.affine, source.affine)
            turned = nibabel.as_closest_canonical(received)
            np.testing.assert_allclose(turned.affine, expected.affine, atol=1e-5)
            np.testing.assert_array_equal(np.asarray(turned.dataobj), np.asarray(expected.dataobj))
    assert len(np.unique(voxels(tmp_path / "out" / "RAS_seg.nii.gz"))) > 1
    notes = {tuple(record["notes"]) for record in records(tmp_path / "out")}
    assert notes == {("k-space made from a magnitude image is Hermitian; results on it are optimistic",)}


def test_what_is_asked_for_lies_beside_the_mask_and_agrees_with_it(tiny_bundle: Path, tmp_path: Path) -> None:
    save_image(tmp_path / "a.nii.gz", np.diag([0.8, 1.2, 3.0, 1.0]))
    settings = SegmentSettings(probabilities=True, reconstruction=True, recurrences=True, uncertainty=True)
    segment(tmp_path / "a.nii.gz", tmp_path / "out", str(tiny_bundle), settings)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"a_{end}.nii.gz" for end in ENDINGS} | BESIDE
    seg, prob, recon, passes, unsure = (nibabel.load(tmp_path / "out" / f"a_{end}.nii.gz") for end in ENDINGS)
    for image in (prob, recon, passes, unsure):
        np.testing.assert_array_equal(image.affine, seg.affine)
    probabilities = np.asarray(prob.dataobj)
    assert (prob.shape, prob.get_data_dtype()) == ((18, 20, 3, 4), np.float32)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(-1), np.asarray(seg.dataobj))
    assert (recon.shape, recon.get_data_dtype()) == ((18, 20, 3), np.float32)
    assert np.asarray(recon.dataobj).min() >= 0
    assert (passes.shape, passes.get_data_dtype()) == ((18, 20, 3, 4, 2), np.uint8)
    np.testing.assert_allclose(np.asarray(passes.dataobj)[..., -1], probabilities, atol=0.5 / 255 + 1e-6)
    assert not np.array_equal(np.asarray(passes.dataobj)[..., 0], np.asarray(passes.dataobj)[..., 1])
    assert (unsure.shape, unsure.get_data_dtype()) == ((18, 20, 3), np.float32)
    entropy = -(probabilities * np.log(probabilities)).sum(-1) / np.log(4)
    np.testing.assert_allclose(np.asarray(unsure.dataobj), entropy, atol=1e-5)


def test_averaging_with_the_mirrored_scan_is_asked_for_or_left_to_the_bundle(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    save_kspace(tmp_path / "a.h5")
    flipping = tmp_path / "flipping"
    shutil.copytree(tiny_bundle, flipping)
    config = flipping / "configs" / "inference.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "flip": True}))
    seal_bundle(flipping)
    for name, bundle, flip in (
        ("plain", tiny_bundle, None),
        ("never", flipping, False),
        ("asked", tiny_bundle, True),
        ("bundle", flipping, None),
    ):
        settings = SegmentSettings(probabilities=True, flip=flip)
        segment(tmp_path / "a.h5", tmp_path / name, str(bundle), settings)
        assert records(tmp_path / name)[0]["flip"] == (name in ("asked", "bundle"))
    plain, never, asked, of_bundle = (
        voxels(tmp_path / name / "a_prob.nii.gz") for name in ("plain", "never", "asked", "bundle")
    )
    np.testing.assert_array_equal(never, plain)
    np.testing.assert_array_equal(of_bundle, asked)
    assert np.abs(asked - plain).max() > 1e-4
    seg = voxels(tmp_path / "asked" / "a_seg.nii.gz")
    np.testing.assert_array_equal(seg, asked.argmax(-1))


@pytest.mark.parametrize("flip", [False, True])
def test_the_temperature_of_the_bundle_changes_probabilities_but_no_mask(
    flip: bool, save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    save_kspace(tmp_path / "a.h5")
    written = {}
    for temperature in (1.0, 3.0):
        bundle = tmp_path / f"bundle_{temperature}"
        shutil.copytree(tiny_bundle, bundle)
        config = bundle / "configs" / "inference.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "temperature": temperature}))
        seal_bundle(bundle)
        output = tmp_path / f"out_{temperature}"
        segment(tmp_path / "a.h5", output, str(bundle), SegmentSettings(probabilities=True, flip=flip))
        assert (records(output)[0]["temperature"], records(output)[0]["flip"]) == (temperature, flip)
        written[temperature] = (output / "a_seg.nii.gz").read_bytes(), voxels(output / "a_prob.nii.gz")
    assert written[1.0][0] == written[3.0][0]
    powers = written[1.0][1] ** (1 / 3)
    np.testing.assert_allclose(written[3.0][1], powers / powers.sum(-1, keepdims=True), rtol=1e-4)


def test_a_second_run_writes_the_same_bytes(save_kspace: Save, tiny_bundle: Path, tmp_path: Path) -> None:
    save_image(tmp_path / "in" / "a.nii.gz")
    save_kspace(tmp_path / "in" / "b.h5")
    settings = SegmentSettings(
        probabilities=True, recurrences=True, reconstruction=True, fraction=0.7, center_lines=4
    )
    for output in ("one", "other"):
        segment(tmp_path / "in", tmp_path / output, str(tiny_bundle), settings)
    written = sorted(path.name for path in (tmp_path / "one").glob("*.nii.gz"))
    assert len(written) == 8
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_an_asked_precision_comes_before_that_of_the_bundle(
    save_kspace: Save, tiny_bundle: Path, tmp_path: Path
) -> None:
    scan = save_kspace(tmp_path / "a.h5")
    for precision in ("float32", "bfloat16"):
        segment(scan, tmp_path / precision, str(tiny_bundle), SegmentSettings(precision=precision))
        assert records(tmp_path / precision)[0]["precision"] == precision
    with pytest.raises(
        ValueError, match=r"^precision: expected one of auto, float32, bfloat16, received 'half'"
    ):
        segment(scan, tmp_path / "half", str(tiny_bundle), SegmentSettings(precision="half"))


def masks_of(
    source: Path, output: Path, settings: SegmentSettings, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Tensor]:
    """The mask that each case was segmented with."""
    masks: list[Tensor] = []
    segment_volume = module.segment_volume

    def listen(network: SERANet, kspace: Tensor, mask: Tensor, *options: Any, **passes: bool) -> Any:
        masks.append(mask)
        return segment_volume(network, kspace, mask, *options, **passes)

    monkeypatch.setattr(module, "segment_volume", listen)
    result = segment(source, output, SHIPPED, settings)
    monkeypatch.setattr(module, "segment_volume", segment_volume)
    return dict(zip(result.done, masks, strict=True))


@pytest.mark.usefixtures("csf_network")
def test_lines_of_an_image_follow_seed_folder_and_name(
    save_kspace: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "site/a", "site/b"):
        save_image(tmp_path / "in" / f"{name}.nii.gz", np.eye(4), shape=(60, 20, 1))
    kept = save_kspace(tmp_path / "in" / "c.h5", gaussian_lines(18, 9, 4, torch.Generator().manual_seed(5)))
    settings = SegmentSettings(fraction=0.4, center_lines=10, seed=3)
    masks = masks_of(tmp_path / "in", tmp_path / "out", settings, monkeypatch)
    assert list(masks) == ["a", "c", "site/a", "site/b"]
    images = [masks[case] for case in ("a", "site/a", "site/b")]
    for number, mask in enumerate(images):
        assert mask.shape == (60,)
        assert int(mask.sum()) == 24
        assert bool(mask[25:35].all())
        assert not any(torch.equal(mask, other) for other in images[:number])
    assert torch.equal(masks["c"], gaussian_lines(18, 9, 4, torch.Generator().manual_seed(5)))
    kept.unlink()
    elsewhere = masks_of(tmp_path / "in", tmp_path / "deep" / "elsewhere", settings, monkeypatch)
    assert all(torch.equal(elsewhere[case], masks[case]) for case in elsewhere)
    alone = masks_of(tmp_path / "in" / "a.nii.gz", tmp_path / "alone", settings, monkeypatch)
    assert torch.equal(alone["a"], masks["a"])
    other_seed = masks_of(
        tmp_path / "in",
        tmp_path / "seed",
        SegmentSettings(fraction=0.4, center_lines=10, seed=4),
        monkeypatch,
    )
    assert not torch.equal(other_seed["a"], masks["a"])
    every_line = masks_of(tmp_path / "in", tmp_path / "all", SegmentSettings(), monkeypatch)
    assert all(bool(mask.all()) for mask in every_line.values())


def test_a_mask_that_was_inferred_is_noted(save_kspace: Save, tiny_bundle: Path, tmp_path: Path) -> None:
    with h5py.File(save_kspace(tmp_path / "a.h5"), "a") as file:
        del file["mask"]
    segment(tmp_path / "a.h5", tmp_path / "out", str(tiny_bundle), SegmentSettings())
    (record,) = records(tmp_path / "out")
    assert record["notes"] == ["mask inferred from the empty samples"]
    assert record["sampled"] == 0.5


def test_more_central_than_sampled_lines_is_a_failure_of_that_image(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    image = save_image(tmp_path / "a.nii.gz")
    result = segment(image, tmp_path / "out", str(tiny_bundle), SegmentSettings(fraction=0.2))
    assert result.failed == {
        "a": f"{image}: segment: line mask: expected 0 <= center <= sampled <= 17 lines and sampled > 0, "
        "received center 16 and sampled 3"
    }


def test_nothing_to_do_needs_no_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle", ignore=shutil.ignore_patterns("*.pt"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert segment(tmp_path / "in", tmp_path / "out", str(bundle), SegmentSettings()).exit_code == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("seeded")
def test_a_bundle_of_another_kind_of_network_is_refused(
    save_kspace: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_network", lambda *_, **__: nn.Conv2d(3, 4, 1))
    with pytest.raises(
        InputError,
        match=rf"^{SHIPPED}: segment: expected a bundle whose network segments k-space, received Conv2d$",
    ):
        segment(save_kspace(tmp_path / "a.h5"), tmp_path / "out", SHIPPED, SegmentSettings())
