import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor, list_data_collate
from monai.transforms import Compose
from torch import Tensor

from kseg.transforms import dictionary_simulation
from kseg.transforms.channels import complex_to_channels, split_network_input
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coil_preparation import prepare_coils
from kseg.transforms.coils import root_sum_of_squares
from kseg.transforms.dictionary import NetworkInputd, PrepareCoilsd
from kseg.transforms.dictionary_sampling import GaussianLinesd, MaskDraw
from kseg.transforms.dictionary_simulation import (
    AddNoised,
    LoadKSpaced,
    LoadLabelMapd,
    MakePhantomd,
    ScanKSpaced,
    ScanProtocol,
)
from kseg.transforms.errors import InputError
from kseg.transforms.fourier import ifft2c
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import head_from_labels
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map, write_nifti
from kseg.transforms.noise import add_noise
from kseg.transforms.phantom import Phantom, make_phantom
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.seeds import item_generator
from kseg.transforms.sequences import GradientEcho, SpinEcho
from kseg.transforms.tissues import load_tissue_table, tissue_list

MODULE = "kseg.transforms.dictionary_simulation"
GRID = AcquisitionGrid(shape=(4, 18, 16), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=1.0)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    """Nested boxes of FreeSurfer codes: skin, CSF, cortex, white matter."""
    labels = np.zeros((16, 18, 14), dtype=np.uint8)
    for margin, code in ((1, 24), (2, 42), (4, 41)):
        labels[margin:-margin, margin:-margin, margin:-margin] = code
    path = tmp_path / "head.nii.gz"
    write_nifti(path, labels, np.eye(4))
    return path


@pytest.fixture
def phantom(label_map: Path) -> Phantom:
    head = head_from_labels(read_label_map(label_map), load_label_codes("freesurfer"))
    return make_phantom(head, "head_01", grid=GRID)


def random_kspace(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


def stored(path: Path, kspace: Tensor, **changes: Any) -> Path:
    mask = torch.ones(kspace.shape[-1], dtype=torch.bool)
    fields = {"mask": mask, "affine": AFFINE, "sigma": 0.1, "seed": 3, "subject": "head_01"}
    write_kspace(path, KSpaceVolume(kspace, **{**fields, **changes}))
    return path


def test_a_label_map_becomes_a_head_and_a_phantom(label_map: Path, phantom: Phantom):
    transform = Compose([LoadLabelMapd("head"), MakePhantomd("head", grid=GRID)])
    item = {"head": str(label_map), "subject": "head_01"}
    made = transform(item)["head"]
    assert item["head"] == str(label_map)
    assert torch.equal(made.fractions, phantom.fractions)
    assert torch.equal(made.labels, phantom.labels)
    assert set(made.labels.unique().tolist()) == {0, 1, 2, 3}
    assert (made.subject, made.tissues) == ("head_01", phantom.tissues)
    assert np.array_equal(made.affine, phantom.affine)


def test_the_key_of_the_subject_and_the_oracle_of_the_labels_are_choices(label_map: Path):
    item = {**LoadLabelMapd("head")({"head": label_map}), "name": "x"}
    assert MakePhantomd("head", "name", GRID, "centre_slice")(item)["head"].subject == "x"
    with pytest.raises(ValueError, match="oracle: expected one of majority, centre_slice, received 'median'"):
        MakePhantomd("head", "name", GRID, "median")(item)


def test_unknown_codes_are_named_with_their_file(label_map: Path):
    write_nifti(label_map, np.full((2, 2, 2), 250, dtype=np.uint8), np.eye(4))
    with pytest.raises(ValueError, match=r"head\.nii\.gz: label codes: expected codes .*, received 250"):
        LoadLabelMapd("head")({"head": label_map})


def test_files_that_are_not_there_are_named():
    with pytest.raises(InputError, match=r"nothing\.nii\.gz"):
        LoadLabelMapd("head")({"head": "nothing.nii.gz"})
    with pytest.raises(InputError, match=r"nothing\.h5"):
        LoadKSpaced("kspace")({"kspace": "nothing.h5"})


@pytest.mark.parametrize("bandwidth", [80e3, None])
def test_a_scan_is_the_one_of_the_function_with_the_seed_of_the_item(
    phantom: Phantom, bandwidth: float | None
):
    protocol = ScanProtocol(GradientEcho(te=0.01, tr=0.5), "3T", n_coils=2, bandwidth=bandwidth, jitter=0.1)
    scan = ScanKSpaced("data", protocol, seed=5, item_key="subject")
    result = scan({"data": phantom, "subject": "head_01"})
    generator = item_generator(5, "scan", "head_01", 0)
    sequence = protocol.sequence.jittered(generator, 0.1)
    maps = coil_maps(2, (18, 16), generator)
    tissues = tissue_list(load_tissue_table("3T"), phantom.tissues)
    readout = None if bandwidth is None else Readout(bandwidth)
    expected = scan_kspace(phantom.fractions, tissues, sequence, maps=maps, readout=readout)
    assert torch.equal(result["data"], expected)
    assert result["data"].shape == (4, 2, 18, 16)
    assert torch.equal(result["label"], phantom.labels)
    assert torch.equal(result["maps"], maps)
    meta = result["data_meta_dict"]
    assert np.array_equal(meta["affine"], phantom.affine)
    assert (meta["subject"], meta["sequence"]) == ("head_01", str(sequence))
    assert sequence.te != 0.01


def test_two_phantoms_are_two_scans_with_labels_of_their_own(phantom: Phantom):
    keys = {"label_keys": ["label_a", "label_b"], "maps_keys": ["maps_a", "maps_b"]}
    item = {"a": phantom, "b": phantom, "subject": "x"}
    result = ScanKSpaced(["a", "b"], ScanProtocol(jitter=0.05), **keys, item_key="subject")(item)
    assert torch.equal(result["label_a"], result["label_b"])
    assert not torch.equal(result["maps_a"], result["maps_b"])
    assert result["a_meta_dict"]["sequence"] != result["b_meta_dict"]["sequence"]


def test_without_jitter_the_times_are_those_of_the_protocol(phantom: Phantom):
    result = ScanKSpaced("data")({"data": phantom})
    assert result["data_meta_dict"]["sequence"] == str(SpinEcho())


@pytest.mark.parametrize("n_axes", [3, 4])
def test_noise_is_that_of_the_function_with_the_seed_of_the_item(n_axes: int):
    kspace = random_kspace(3, 2, 18, 16)[(0,) * (4 - n_axes)]
    transform = AddNoised(["a", "b"], 0.5, "absolute", seed=2, item_key="subject")
    result = transform({"a": kspace, "b": kspace, "subject": "x"})
    for index, key in enumerate("ab"):
        expected = add_noise(kspace, 0.5, item_generator(2, "noise", "x", index))
        assert torch.equal(result[key], expected)
        assert result[f"{key}_meta_dict"] == {"sigma": 0.5}
    assert not torch.equal(result["a"], result["b"])


def test_noise_is_relative_to_what_is_named():
    kspace = random_kspace(3, 2, 18, 16)
    image = root_sum_of_squares(ifft2c(kspace))
    protocol = ScanProtocol(SpinEcho(te=0.02, tr=2.0), "3T")
    csf = float(protocol.sequence.signal([load_tissue_table("3T")["csf"]]))
    references = {"csf": csf, "image_max": float(image.max()), "rms": float(image.square().mean().sqrt())}
    for reference, amplitude in references.items():
        noisy = AddNoised("kspace", 0.1, reference, protocol)({"kspace": kspace})
        sigma = noisy["kspace_meta_dict"]["sigma"]
        assert sigma == pytest.approx(0.1 * amplitude, rel=1e-5)
        deviation = torch.view_as_real(noisy["kspace"] - kspace).std()
        assert float(deviation) == pytest.approx(sigma, rel=0.05)


def test_noise_keeps_what_is_known_about_the_kspace():
    meta = {"subject": "x", "sigma": 0.0}
    result = AddNoised("kspace", 1.0, "absolute")(
        {"kspace": random_kspace(2, 5, 4), "kspace_meta_dict": meta}
    )
    assert result["kspace_meta_dict"] == {"subject": "x", "sigma": 1.0}
    assert meta["sigma"] == 0.0


def test_noise_adds_in_squares_to_the_noise_that_is_there(tmp_path: Path):
    path = stored(tmp_path / "a.h5", random_kspace(3, 2, 5, 4), sigma=0.3)
    result = Compose([LoadKSpaced("kspace"), AddNoised("kspace", 0.4, "absolute")])({"kspace": path})
    assert result["kspace_meta_dict"]["sigma"] == pytest.approx(0.5)


def test_noise_is_for_fully_sampled_kspace():
    mask = torch.tensor([True, False, True, True])
    item = {"kspace": random_kspace(2, 5, 4) * mask, "mask": mask}
    expected = r"^mask: expected fully sampled k-space, received a mask that is True for 3 of 4$"
    with pytest.raises(ValueError, match=expected):
        AddNoised("kspace", 1.0, "absolute")(item)
    with pytest.raises(ValueError, match=r"^lines: expected fully sampled k-space"):
        AddNoised("kspace", 1.0, "absolute", mask_key="lines")({**item, "lines": mask})
    assert AddNoised("data", allow_missing_keys=True)(item).keys() == item.keys()


def test_noise_on_meta_tensors_and_not_on_real_data():
    result = AddNoised("kspace", 1.0, "absolute")({"kspace": MetaTensor(random_kspace(2, 5, 4))})["kspace"]
    assert isinstance(result, MetaTensor)
    assert result.is_complex()
    with pytest.raises(ValueError, match=r"kspace: expected complex numbers, received torch\.float32"):
        AddNoised("kspace")({"kspace": torch.zeros(2, 5, 4)})


def test_a_file_is_loaded_with_its_mask_and_what_is_known(tmp_path: Path):
    kspace, mask = random_kspace(3, 2, 5, 4), torch.tensor([True, False, True, True])
    path = stored(tmp_path / "a.h5", kspace * mask, mask=mask)
    result = LoadKSpaced("kspace")({"kspace": path})
    assert torch.equal(result["kspace"], kspace * mask)
    assert torch.equal(result["mask"], mask)
    assert result["subject"] == "head_01"
    meta = result["kspace_meta_dict"]
    assert np.array_equal(meta.pop("affine"), AFFINE)
    assert meta == {
        "filename_or_obj": str(path),
        "subject": "head_01",
        "mask_inferred": False,
        "notes": "",
        "sigma": 0.1,
        "seed": 3,
    }


def test_stored_sensitivities_reach_the_network(tmp_path: Path):
    kspace, maps = random_kspace(3, 2, 5, 4), random_kspace(2, 1, 5, 4)
    path = stored(tmp_path / "a.h5", kspace, maps=maps)
    loaded = LoadKSpaced("kspace")({"kspace": path})
    assert torch.equal(loaded["maps"], maps)
    chain = Compose([PrepareCoilsd("kspace"), NetworkInputd("kspace", maps_key="maps")])
    prepared = prepare_coils(kspace, torch.ones(3, 1, 4, dtype=torch.bool), maps)
    assert prepared.maps is not None
    result = chain(loaded)
    assert torch.equal(result["maps"], complex_to_channels(prepared.maps.movedim(1, 0)))
    assert result["kspace_meta_dict"]["notes"] == "sensitivities as stored"


def test_what_a_reader_did_is_noted(monkeypatch: pytest.MonkeyPatch):
    done = ("echo 1 of 2", "4 coils pre-whitened")
    volume = KSpaceVolume(
        random_kspace(3, 2, 5, 4), torch.ones(4, dtype=torch.bool), AFFINE, None, None, "x", notes=done
    )
    monkeypatch.setattr(dictionary_simulation, "read_kspace", lambda path: volume)
    assert LoadKSpaced("kspace")({"kspace": "a.h5"})["kspace_meta_dict"]["notes"] == "\n".join(done)


def test_several_files_have_several_masks_and_unknown_values_are_left_out(tmp_path: Path):
    kspace = random_kspace(3, 2, 5, 4)
    paths = {key: stored(tmp_path / f"{key}.h5", kspace, sigma=None, seed=None) for key in "ab"}
    load = LoadKSpaced(["a", "b"], mask_keys=["mask_a", "mask_b"], maps_keys=["maps_a", "maps_b"])
    result = load({**paths, "subject": "given"})
    assert {"mask_a", "mask_b"} <= set(result)
    assert not {"maps_a", "maps_b"} & set(result)
    assert result["subject"] == "given"
    assert not {"sigma", "seed"} & set(result["a_meta_dict"])
    batch = list_data_collate([result, result])
    assert batch["a"].shape == (2, 3, 2, 5, 4)


def test_keys_that_go_together_are_as_many():
    with pytest.raises(
        ValueError, match=r"mask keys: expected one for each of \['a', 'b'\], received \['mask'\]"
    ):
        LoadKSpaced(["a", "b"])
    with pytest.raises(
        ValueError, match=r"maps keys: expected one for each of \['a', 'b'\], received \['maps'\]"
    ):
        LoadKSpaced(["a", "b"], mask_keys=["c", "d"])
    with pytest.raises(
        ValueError, match=r"label keys: expected one for each of \['a', 'b'\], received \['label'\]"
    ):
        ScanKSpaced(["a", "b"])
    with pytest.raises(
        ValueError, match=r"maps keys: expected one for each of \['a'\], received \['c', 'd'\]"
    ):
        ScanKSpaced("a", maps_keys=["c", "d"])


@pytest.mark.parametrize("kind", [LoadLabelMapd, MakePhantomd, ScanKSpaced, AddNoised, LoadKSpaced])
def test_items_without_the_key_pass_if_they_may(kind: type):
    assert kind("data", allow_missing_keys=True)({"other": 1}) == {"other": 1}
    with pytest.raises(KeyError, match=f"Key `data` of transform `{kind.__name__}` was missing"):
        kind("data")({"other": 1})


def test_conjugate_files_enter_the_network_as_something_else(tmp_path: Path):
    kspace = random_kspace(3, 1, 8, 20)
    draw = MaskDraw(per="slice", item_key="subject")
    load, sample = LoadKSpaced("kspace"), GaussianLinesd("kspace", 0.4, 4, draw=draw)
    noise = AddNoised("kspace", 0.5, "absolute", item_key="subject")
    plain_path = stored(tmp_path / "plain.h5", kspace)
    conjugate_path = stored(tmp_path / "conjugate.h5", kspace.conj().resolve_conj())

    for transforms in ([load, sample], [load, noise, sample]):
        chain = Compose([*transforms, NetworkInputd("kspace")])
        plain, mask = split_network_input(chain({"kspace": plain_path})["kspace"])
        conjugate, same_mask = split_network_input(chain({"kspace": conjugate_path})["kspace"])
        assert torch.equal(mask, same_mask)
        difference = plain - conjugate
        expected = 2j * kspace.imag * mask
        assert torch.allclose(difference, expected, atol=1e-5)
        assert float(difference.abs()[mask.bool()].min()) > 0


CONFIG = """{
    "protocol": {"_target_": "kseg.transforms.dictionary_simulation.ScanProtocol", "n_coils": 2,
        "sequence": {"_target_": "kseg.transforms.sequences.SpinEcho", "te": 0.1, "tr": 4.0}, "jitter": 0.05},
    "grid": {"_target_": "kseg.transforms.grid.AcquisitionGrid", "shape": [4, 18, 16], "headroom_mm": 1.0},
    "simulation": {"_target_": "Compose", "transforms": [
        {"_target_": "kseg.transforms.dictionary_simulation.LoadLabelMapd", "keys": "kspace",
            "codes": "freesurfer"},
        {"_target_": "kseg.transforms.dictionary_simulation.MakePhantomd", "keys": "kspace", "grid": "@grid"},
        {"_target_": "kseg.transforms.dictionary_simulation.ScanKSpaced", "keys": "kspace",
            "protocol": "@protocol", "seed": 1, "item_key": "subject"},
        {"_target_": "kseg.transforms.dictionary_simulation.AddNoised", "keys": ["kspace"], "level": 0.1,
            "protocol": "@protocol", "seed": 1, "item_key": ["subject"]},
        {"_target_": "kseg.transforms.dictionary_sampling.UniformLinesd", "keys": "kspace", "n_center": 2,
            "draw": {"_target_": "kseg.transforms.dictionary_sampling.MaskDraw", "item_key": "subject"}},
        {"_target_": "kseg.transforms.dictionary.NetworkInputd", "keys": "kspace", "maps_key": "maps"}]},
    "loading": {"_target_": "kseg.transforms.dictionary_simulation.LoadKSpaced", "keys": ["kspace"]}
}"""


def test_a_bundle_simulates_from_a_label_map_to_network_input(label_map: Path, tmp_path: Path):
    parser = ConfigParser(json.loads(CONFIG))
    simulation = parser.get_parsed_content("simulation")
    item = {"kspace": str(label_map), "subject": "head_01"}
    result = simulation(item)
    assert result["kspace"].shape == (4, 5, 18, 16)
    assert result["maps"].shape == (4, 4, 18, 16)
    assert result["label"].shape == (4, 18, 16)
    assert int(result["mask"].sum()) == 5
    simulation.set_random_state(seed=9)
    assert torch.equal(simulation(item)["kspace"], result["kspace"])
    assert not torch.equal(simulation({**item, "subject": "head_02"})["kspace"], result["kspace"])
    path = stored(tmp_path / "a.h5", random_kspace(2, 1, 5, 4))
    assert parser.get_parsed_content("loading")({"kspace": str(path)})["kspace"].shape == (2, 1, 5, 4)


def test_a_protocol_is_one_that_every_scan_can_have():
    with pytest.raises(ValueError, match=r"^time jitter: expected 0 or more and below 1, received 1\.5$"):
        ScanProtocol(jitter=1.5)
    with pytest.raises(
        ValueError, match=r"^sequence times in seconds: expected .* received te 0\.12, tr 0\.1$"
    ):
        ScanProtocol(SpinEcho(te=0.08, tr=0.2), jitter=0.5)
