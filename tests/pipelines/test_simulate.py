"""Scans of heads: what was asked for is what was done, the same again, and a bad head costs itself alone."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from kseg.pipelines.simulate import SimulationSettings, simulate
from kseg.transforms.brainweb_volume import MODELS
from kseg.transforms.dictionary_simulation import ScanProtocol
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import head_from_labels
from kseg.transforms.kspace_file import KSpaceVolume, read_kspace
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map, write_nifti
from kseg.transforms.phantom import make_phantom
from kseg.transforms.sequences import GradientEcho, SpinEcho
from kseg.transforms.tissues import load_tissue_table, tissue_list

Save = Callable[..., Path]
FUZZY = ("csf", "gry", "wht", "fat", "m+s", "skn", "skl", "mit")


@pytest.fixture
def settings(small_grid: AcquisitionGrid) -> SimulationSettings:
    return SimulationSettings(grid=small_grid, center_lines=4, seed=7)


@pytest.fixture
def heads(save_head: Save, tmp_path: Path) -> Path:
    """A folder of three heads, two of them of the same name."""
    save_head(tmp_path / "heads" / "a.nii.gz")
    save_head(tmp_path / "heads" / "site" / "a.nii.gz", radius=0.9)
    save_head(tmp_path / "heads" / "site" / "b.nii", radius=0.95)
    return tmp_path / "heads"


def scan(head: Path, output: Path, settings: SimulationSettings) -> KSpaceVolume:
    """Simulate one head and read it back."""
    assert simulate(head, output, settings).failed == {}
    return read_kspace(output / "kspace" / f"{head.name.split('.')[0]}.h5")


def image_of(volume: KSpaceVolume) -> torch.Tensor:
    return ifft2c(volume.kspace).abs()[:, 0]


def test_three_files_per_head_in_its_folder(
    heads: Path, settings: SimulationSettings, tmp_path: Path
) -> None:
    result = simulate(heads, tmp_path / "out", settings)
    assert (result.done, result.failed) == (["a", "site/a", "site/b"], {})
    written = {
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    kinds = {"kspace": ".h5", "labels": ".nii.gz", "images": ".nii.gz"}
    assert written == {"results.jsonl"} | {
        f"{kind}/{case}{end}" for kind, end in kinds.items() for case in result.done
    }
    records = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [record["case"] for record in records] == result.done
    for record in records:
        assert record["sequence"] == str(SpinEcho())
        assert record["sampled"] == round(10 / 32, 4)
        assert record["sigma"] == read_kspace(tmp_path / "out" / "kspace" / f"{record['case']}.h5").sigma


def test_labels_and_affines_are_those_of_the_phantom(
    save_head: Save, small_grid: AcquisitionGrid, settings: SimulationSettings, tmp_path: Path
) -> None:
    path = save_head(tmp_path / "head.nii.gz")
    volume = scan(path, tmp_path, settings)
    phantom = make_phantom(
        head_from_labels(read_label_map(path), load_label_codes("freesurfer")), "head", grid=small_grid
    )
    labels = nibabel.load(tmp_path / "labels" / "head.nii.gz")
    image = nibabel.load(tmp_path / "images" / "head.nii.gz")
    np.testing.assert_array_equal(np.asarray(labels.dataobj).transpose(2, 1, 0), phantom.labels.numpy())
    assert set(np.unique(labels.dataobj)) == {0, 1, 2, 3}
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(volume.affine, phantom.affine)
    for written in (labels, image):
        np.testing.assert_array_equal(written.affine, phantom.affine.astype(np.float32))
    # Tissues are where their labels are: in this contrast fluid is brightest, then grey, then white matter.
    bright = [
        np.median(np.asarray(image.dataobj)[np.asarray(labels.dataobj) == label]) for label in (0, 3, 2, 1)
    ]
    assert bright == sorted(bright)
    assert bright[0] < 0.05 * bright[-1]


@pytest.mark.parametrize("fraction", [0.25, 0.5])
@pytest.mark.parametrize("pattern", ["gaussian", "uniform", "equispaced"])
def test_lines_are_as_many_as_asked(
    pattern: str, fraction: float, save_head: Save, settings: SimulationSettings, tmp_path: Path
) -> None:
    head = save_head(tmp_path / "head.nii.gz")
    volume = scan(head, tmp_path / "out", replace(settings, pattern=pattern, fraction=fraction))
    assert volume.mask.shape == (32,)
    assert int(volume.mask.sum()) == 32 * fraction
    assert bool(volume.mask[14:18].all())
    assert torch.equal((volume.kspace != 0).all(dim=(0, 1, 2)), volume.mask)
    assert torch.equal((volume.kspace != 0).any(dim=(0, 1, 2)), volume.mask)


def test_masks_of_slices_differ_and_points_are_counted(
    save_head: Save, settings: SimulationSettings, tmp_path: Path
) -> None:
    head = save_head(tmp_path / "head.nii.gz")
    lines = scan(head, tmp_path / "lines", replace(settings, mask_per="slice")).mask
    assert lines.shape == (8, 32)
    assert (lines.sum(1) == 10).all()
    assert len(lines.unique(dim=0)) > 1
    points = scan(head, tmp_path / "points", replace(settings, pattern="poisson"))
    assert points.mask.shape == (8, 40, 32)
    assert (points.mask.sum((1, 2)) == 0.3 * 40 * 32).all()
    assert torch.equal(points.kspace[:, 0] != 0, points.mask)


@pytest.mark.parametrize("level", [0.02, 0.1])
def test_noise_is_what_was_asked_for_and_what_the_air_shows(
    level: float, save_head: Save, settings: SimulationSettings, tmp_path: Path
) -> None:
    head = save_head(tmp_path / "head.nii.gz")
    sequence = SpinEcho(te=0.06, tr=2.5)
    wide = AcquisitionGrid(shape=(8, 40, 96), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=2.0)
    asked = replace(settings, protocol=ScanProtocol(sequence), noise=level, fraction=1.0, grid=wide)
    volume = scan(head, tmp_path / "out", asked)
    fluid = float(sequence.signal(tissue_list(load_tissue_table("1.5T"), ["csf"])))
    assert volume.sigma == pytest.approx(level * fluid, rel=1e-6)
    clean = scan(head, tmp_path / "clean", replace(asked, noise=0.0))
    assert clean.sigma == 0
    noise = volume.kspace - clean.kspace
    assert float(noise.real.std()) == pytest.approx(volume.sigma, rel=0.03)
    assert float(noise.imag.std()) == pytest.approx(volume.sigma, rel=0.03)
    # Rayleigh: beside the head.
    assert float(image_of(volume)[..., :24].mean()) == pytest.approx(1.2533 * volume.sigma, rel=0.03)
    stored = torch.from_numpy(np.asarray(nibabel.load(tmp_path / "out" / "images" / "head.nii.gz").dataobj))
    torch.testing.assert_close(stored.permute(2, 1, 0), image_of(clean), atol=1e-5, rtol=0)


def test_the_same_again_and_other_heads_and_seeds_differ(
    heads: Path, settings: SimulationSettings, tmp_path: Path
) -> None:
    for output in ("one", "again"):
        simulate(heads, tmp_path / output, settings)
    simulate(heads, tmp_path / "seed", replace(settings, seed=8))
    for path in (tmp_path / "one" / "kspace").rglob("*.h5"):
        name = path.relative_to(tmp_path / "one")
        assert path.read_bytes() == (tmp_path / "again" / name).read_bytes()
        other = read_kspace(tmp_path / "seed" / name)
        assert not torch.equal(read_kspace(path).mask, other.mask)
        assert other.seed == 8
    masks = [
        read_kspace(tmp_path / "one" / "kspace" / f"{case}.h5").mask for case in ("a", "site/a", "site/b")
    ]
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])


def test_a_head_does_not_depend_on_the_others(
    heads: Path, settings: SimulationSettings, tmp_path: Path
) -> None:
    simulate(heads, tmp_path / "all", settings)
    simulate(heads / "a.nii.gz", tmp_path / "alone", settings)
    (heads / "site" / "a.nii.gz").unlink()
    simulate(heads, tmp_path / "fewer", settings)
    for output, case in (("alone", "a"), ("fewer", "a"), ("fewer", "site/b")):
        name = Path("kspace", f"{case}.h5")
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / output / name).read_bytes()


def test_masks_stay_when_noise_and_coils_change(
    save_head: Save, settings: SimulationSettings, tmp_path: Path
) -> None:
    head = save_head(tmp_path / "head.nii.gz")
    one = scan(head, tmp_path / "one", settings)
    other = scan(head, tmp_path / "other", replace(settings, noise=0.2, protocol=ScanProtocol(n_coils=3)))
    assert other.kspace.shape == (8, 3, 40, 32)
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(
        nibabel.load(tmp_path / "one/images/head.nii.gz").get_fdata(),
        nibabel.load(tmp_path / "other/images/head.nii.gz").get_fdata(),
        atol=1e-4,
        rtol=0,
    )


def test_times_that_were_drawn_are_recorded(
    heads: Path, settings: SimulationSettings, tmp_path: Path
) -> None:
    protocol = ScanProtocol(GradientEcho(te=0.004, tr=0.2), tissues="3T", jitter=0.05)
    simulate(heads, tmp_path / "out", replace(settings, protocol=protocol))
    records = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    sequences = {record["sequence"] for record in records}
    assert len(sequences) == 3
    for text in sequences:
        te, tr = (float(text.split(f"{name}=")[1].split(",")[0]) for name in ("te", "tr"))
        assert 0.95 <= te / 0.004 <= 1.05
        assert 0.95 <= tr / 0.2 <= 1.05


def test_a_bad_head_costs_itself_alone(heads: Path, settings: SimulationSettings, tmp_path: Path) -> None:
    simulate(heads, tmp_path / "good", settings)
    array = np.zeros((4, 4, 4), np.uint8)
    for name, value in (("unknown", 201), ("fluid", 24)):
        array[1:3, 1:3, 1:3] = value
        write_nifti(heads / f"{name}.nii.gz", array, np.eye(4))
    write_nifti(heads / "fraction.nii.gz", np.full((4, 4, 4), 2.5, np.float32), np.eye(4))
    write_nifti(heads / "giant.nii.gz", np.full((4, 4, 4), 3, np.uint8), np.diag([30.0, 30, 30, 1]))
    write_nifti(heads / "twice.nii", array, np.eye(4))
    write_nifti(heads / "twice.nii.gz", array, np.eye(4))
    (heads / "cut.nii.gz").write_bytes((heads / "a.nii.gz").read_bytes()[:-30])
    result = simulate(heads, tmp_path / "out", settings)
    assert result.exit_code == 1
    assert result.done == ["a", "site/a", "site/b"]
    expected = {
        "cut": "read NIfTI: expected an intact NIfTI file, received EOFError: ",
        "fluid": "simulate: placing the grid: expected grey matter in the label map, received none",
        "fraction": "read label map: expected whole numbers, received 2.5",
        "giant": "simulate: placing the grid: expected cortex of at most ",
        "twice": "simulate: expected one file named twice in its folder, received twice.nii, twice.nii.gz",
        "unknown": "simulate: label codes: expected codes of the table freesurfer, received 201",
    }
    assert list(result.failed) == list(expected)
    for case, reason in expected.items():
        end = ".nii" if case == "twice" else ".nii.gz"
        assert result.failed[case].startswith(f"{heads / case}{end}: {reason}")
    for kind, end in {"kspace": ".h5", "labels": ".nii.gz", "images": ".nii.gz"}.items():
        names = {path.relative_to(tmp_path / "good") for path in (tmp_path / "good" / kind).rglob(f"*{end}")}
        assert names == {
            path.relative_to(tmp_path / "out") for path in (tmp_path / "out" / kind).rglob("*.*")
        }
        for name in names:
            assert (tmp_path / "good" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_an_input_is_never_replaced(save_head: Save, settings: SimulationSettings, tmp_path: Path) -> None:
    path = save_head(tmp_path / "labels" / "a.nii.gz")
    before = path.read_bytes()
    result = simulate(path, tmp_path, settings)
    assert result.failed == {
        "a": f"{path}: simulate: expected an output folder whose files do not replace it, received {tmp_path}"
    }
    assert path.read_bytes() == before
    with pytest.raises(
        InputError, match=r"expected an output folder other than the input, received .* which holds it$"
    ):
        simulate(tmp_path / "labels", tmp_path, settings)


def write_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crisp and fuzzy models of one small ellipsoid, in BrainWeb's names and formats."""
    shape = (12, 20, 18)
    for name, model in list(MODELS.items()):
        monkeypatch.setitem(MODELS, name, replace(model, shape=shape))
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(z**2 + y**2 + (x - 0.1) ** 2)
    codes = np.select([radius < 0.4, radius < 0.6, radius < 0.8], [3, 2, 1], 0).astype(np.uint8)
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "crisp.rawb").write_bytes(codes.tobytes())
    for number, name in enumerate(FUZZY, start=1):
        share = np.where(codes == number, 255, 0).astype(np.uint8) if number < 4 else np.zeros_like(codes)
        (folder / "site" / f"normal_{name}.rawb.gz").write_bytes(gzip.compress(share.tobytes(), 1))


def test_models_of_brainweb_crisp_and_fuzzy(
    settings: SimulationSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_models(tmp_path / "models", monkeypatch)
    crisp = replace(settings, source="brainweb_normal", noise=0.0)
    result = simulate(tmp_path / "models", tmp_path / "crisp", crisp)
    assert result.done == ["site/crisp"]
    assert len(result.failed) == len(FUZZY)
    fuzzy = simulate(tmp_path / "models", tmp_path / "fuzzy", replace(crisp, source="brainweb_normal_fuzzy"))
    assert (fuzzy.done, fuzzy.failed) == (["site/normal"], {})
    # Shares of 0 and 1 are a crisp model.
    one, other = (tmp_path / "crisp/images/site/crisp.nii.gz", tmp_path / "fuzzy/images/site/normal.nii.gz")
    np.testing.assert_allclose(
        np.asarray(nibabel.load(one).dataobj), np.asarray(nibabel.load(other).dataobj), atol=1e-4
    )
    single = tmp_path / "models" / "site" / "normal_csf.rawb.gz"
    assert simulate(single, tmp_path / "single", replace(crisp, source="brainweb_normal_fuzzy")).done == [
        "normal"
    ]
    (tmp_path / "models" / "site" / "normal_wht.rawb.gz").unlink()
    missing = simulate(single, tmp_path / "missing", replace(crisp, source="brainweb_normal_fuzzy"))
    assert "read BrainWeb: expected a file normal_wht[_v] or normal_wm[_v]" in missing.failed["normal"]


def test_the_grid_and_the_oracle_are_those_asked_for(
    save_head: Save, settings: SimulationSettings, tmp_path: Path
) -> None:
    head = save_head(tmp_path / "head.nii.gz")
    labels = []
    for oracle in ("majority", "centre_slice"):
        scan(head, tmp_path / oracle, replace(settings, oracle=oracle))
        labels.append(np.asarray(nibabel.load(tmp_path / oracle / "labels" / "head.nii.gz").dataobj))
    assert labels[0].shape == labels[1].shape == (32, 40, 8)
    assert 0.7 < (labels[0] == labels[1]).mean() < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "spm"}, r"^source: expected one of freesurfer, brainweb_20, .*, received 'spm'$"),
        ({"oracle": "median"}, r"^oracle: expected one of majority, centre_slice, received 'median'$"),
        ({"pattern": "spiral"}, r"^pattern: expected one of gaussian, .*, received 'spiral'$"),
        ({"seed": -1}, r"^seed: expected 0\.\.2\*\*63 - 1, received -1$"),
        ({"mask_per": "coil"}, r"^mask per: expected 'volume' or 'slice', received 'coil'$"),
        ({"fraction": 1.5}, r"^sampled fraction: expected a number in \(0, 1\], received 1\.5$"),
        (
            {"center_lines": 11},
            r"^line mask: expected 0 <= center <= sampled .* received center 11 and sampled 10$",
        ),
        ({"noise": -0.1}, r"^noise level: expected 0 or more, received -0\.1$"),
        (
            {"noise_reference": "skull"},
            r"^noise level: expected a reference out of csf, .*, received 'skull'$",
        ),
        ({"protocol": ScanProtocol(n_coils=0)}, r"^coil maps: expected at least 1 coil, received 0$"),
        ({"protocol": ScanProtocol(tissues="7T")}, r"^7T: read tissue table: expected one of 1\.5T, 3T or"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_first_head(
    changes: dict[str, Any], message: str, heads: Path, settings: SimulationSettings, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(heads, tmp_path / "out", replace(settings, **changes))
    assert not (tmp_path / "out").exists()
