"""Inference with the brain bundle through MONAI: its results, and each way to fail."""

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from kseg.pipelines.bundle import load_network
from kseg.pipelines.bundle_seal import seal_bundle
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.errors import InputError

pytestmark = pytest.mark.usefixtures("seeded", "own_search_path")


def infer(bundle: Path, dataset_dir: Path, output_dir: Path, **options: object) -> None:
    """Run what `python -m monai.bundle run` makes of the configuration and options."""
    workflow = ConfigWorkflow(
        str(bundle / "configs" / "inference.json"),
        workflow_type="inference",
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(dataset_dir),
        output_dir=str(output_dir),
        **options,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def reason(error: BaseException | None) -> str:
    """The one line below MONAI's wrapping."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    assert error is not None
    return str(error)


def test_run_makes_the_voxels_of_kseg_segment(tiny_bundle: Path, save_kspace, monai, tmp_path: Path) -> None:
    save_kspace("one.h5", n_slices=11)
    save_kspace("site/two.h5", n_slices=1)
    (tmp_path / "kspace" / "notes.txt").write_text("no k-space")
    config = tiny_bundle / "configs" / "inference.json"
    folders = ("--dataset_dir", tmp_path / "kspace", "--output_dir", tmp_path / "workflow")
    ended = monai("run", "--config_file", config, "--bundle_root", tiny_bundle, *folders)
    assert ended.returncode == 0, ended.stdout
    segment(tmp_path / "kspace", tmp_path / "command", str(tiny_bundle), SegmentSettings())
    written = {p.relative_to(tmp_path / "workflow") for p in (tmp_path / "workflow").rglob("*.*")}
    assert written == {Path("one_seg.nii.gz"), Path("site/two_seg.nii.gz")}
    for name in written:
        one, other = (nibabel.load(tmp_path / folder / name) for folder in ("workflow", "command"))
        assert (tmp_path / "workflow" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
        assert one.get_data_dtype() == np.uint8
        assert one.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_array_equal(one.affine, other.affine)
        assert len(np.unique(one.dataobj)) > 1


def test_flip_and_uncertainty_are_those_of_kseg_segment(
    tiny_bundle: Path, save_kspace, tmp_path: Path
) -> None:
    kspace = save_kspace("site/a.h5", n_slices=3).parent
    infer(tiny_bundle, kspace, tmp_path / "workflow", flip=True, uncertainty=True)
    settings = SegmentSettings(flip=True, uncertainty=True)
    segment(kspace, tmp_path / "command", str(tiny_bundle), settings)
    segment(kspace, tmp_path / "plain", str(tiny_bundle), SegmentSettings(uncertainty=True))
    written = sorted(path.name for path in (tmp_path / "workflow").iterdir())
    assert written == ["a_seg.nii.gz", "a_uncertainty.nii.gz"]
    for name in written:
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("workflow", "command"))
        assert one == other
    assert one != (tmp_path / "plain" / "a_uncertainty.nii.gz").read_bytes()


def test_the_temperature_is_that_of_kseg_segment(bundle: Path, save_kspace, tmp_path: Path) -> None:
    kspace = save_kspace("a.h5").parent
    config = bundle / "configs" / "inference.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "temperature": 2.5}))
    seal_bundle(bundle)
    infer(bundle, kspace, tmp_path / "workflow", uncertainty=True)
    infer(bundle, kspace, tmp_path / "cold", uncertainty=True, temperature=0.4)
    segment(kspace, tmp_path / "command", str(bundle), SegmentSettings(uncertainty=True))
    workflow, command, cold = (
        (tmp_path / folder / "a_uncertainty.nii.gz").read_bytes()
        for folder in ("workflow", "command", "cold")
    )
    assert workflow == command != cold


def test_the_slices_at_once_change_nothing(tiny_bundle: Path, save_kspace, tmp_path: Path) -> None:
    volume = save_kspace("a.h5", n_slices=11)
    infer(tiny_bundle, volume.parent, tmp_path / "together", precision="float32")
    with h5py.File(volume) as file:
        kspace, mask = torch.from_numpy(file["kspace"][()]), torch.from_numpy(file["mask"][()])
    network = load_network(str(tiny_bundle))
    slices = torch.stack([kspace.real, kspace.imag, mask.expand(kspace.shape).float()], dim=1)
    with torch.inference_mode():
        labels = torch.cat([network(x[None]).argmax(1) for x in slices])
    saved = np.asarray(nibabel.load(tmp_path / "together" / "a_seg.nii.gz").dataobj)
    np.testing.assert_array_equal(saved, labels.permute(2, 1, 0).numpy())


def no_weights(weights: Path) -> None:
    weights.unlink()


def truncated_weights(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:1000])


def renamed_tensors(weights: Path) -> None:
    torch.save({f"module.{k}": v for k, v in torch.load(weights).items()}, weights)


def weights_of_another_network(weights: Path) -> None:
    torch.save({k: torch.cat([v, v]) if v.ndim else v for k, v in torch.load(weights).items()}, weights)


def weights_not_finite(weights: Path) -> None:
    torch.save(
        {k: torch.full_like(v, torch.nan, dtype=torch.float) for k, v in torch.load(weights).items()}, weights
    )


@pytest.mark.parametrize(
    ("harm", "received"),
    [
        (no_weights, "expected a file, received No such file"),
        (truncated_weights, "expected an intact file"),
        (renamed_tensors, "left over (module.attention.block."),
        (weights_of_another_network, "of shape"),
        (weights_not_finite, "expected finite values in"),
    ],
)
def test_weights_are_never_optional(bundle: Path, save_kspace, tmp_path: Path, harm, received: str) -> None:
    weights = bundle / "models" / "model.pt"
    harm(weights)
    save_kspace("a.h5")
    with pytest.raises(RuntimeError) as caught:
        infer(bundle, tmp_path / "kspace", tmp_path / "out")
    assert reason(caught.value).startswith(f"{weights}: load weights: ")
    assert received in reason(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", [False, True], ids=["empty", "missing"])
def test_nothing_to_do_is_an_error(tiny_bundle: Path, missing: bool, tmp_path: Path) -> None:
    folder = tmp_path / "kspace"
    if not missing:
        folder.mkdir()
        (folder / "image.nii.gz").touch()
    with pytest.raises(RuntimeError) as caught:
        infer(tiny_bundle, folder, tmp_path / "out")
    expected = "a file or a folder" if missing else "at least one k-space file (.h5 or .mrd)"
    assert reason(caught.value).startswith(f"{folder}: find inputs: expected {expected}, received no")


def test_a_bad_file_ends_the_run_and_is_named(tiny_bundle: Path, save_kspace, monai, tmp_path: Path) -> None:
    save_kspace("a.h5")
    bad = save_kspace("b.h5")
    with h5py.File(bad, "a") as file:
        kspace = file["kspace"][()]
        del file["kspace"]
        file["kspace"] = kspace.real
    config = tiny_bundle / "configs" / "inference.json"
    folders = ("--dataset_dir", tmp_path / "kspace", "--output_dir", tmp_path / "out")
    ended = monai("run", "--config_file", config, "--bundle_root", tiny_bundle, *folders)
    assert ended.returncode != 0
    line = f"{bad}: read k-space: expected complex `kspace` (slice, y, x) or (slice, coil, y, x), received float32"
    told = [text for text in ended.stdout.splitlines() if " ERROR " in text and line in text]
    assert len(told) == 1, ended.stdout
    assert (tmp_path / "out" / "a_seg.nii.gz").is_file()


def test_coils_without_a_fully_sampled_centre_are_named(
    tiny_bundle: Path, save_kspace, tmp_path: Path
) -> None:
    path = save_kspace("a.h5", n_coils=2)
    with pytest.raises(RuntimeError) as caught:
        infer(tiny_bundle, path.parent, tmp_path / "out")
    assert reason(caught.value).startswith(f"{path}: segment: expected a volume that the network takes")
    assert "expected at least 8 x 8 samples around the centre" in reason(caught.value)
