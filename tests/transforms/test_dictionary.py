import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor, list_data_collate
from monai.transforms import Compose, MapTransform
from torch import Tensor

from kseg.transforms.channels import complex_to_channels, network_input
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coil_preparation import prepare_coils
from kseg.transforms.coils import combine, expand, root_sum_of_squares
from kseg.transforms.dictionary import (
    CombineCoilsd,
    ExpandCoilsd,
    FFT2cd,
    IFFT2cd,
    NetworkInputd,
    PrepareCoilsd,
    RootSumOfSquaresd,
)
from kseg.transforms.fourier import fft2c, ifft2c

MODULE = "kseg.transforms.dictionary"


def random_complex(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


def volume_maps() -> Tensor:
    return coil_maps(3, (7, 6), torch.Generator().manual_seed(1))


IMAGE, COILS = random_complex(2, 7, 6), random_complex(2, 3, 7, 6)
MAPS = volume_maps()

CASES: dict[str, tuple[MapTransform, Tensor, Callable[[Tensor], Tensor]]] = {
    "fft2c": (FFT2cd("data"), COILS, fft2c),
    "ifft2c": (IFFT2cd("data"), COILS, ifft2c),
    "expand": (ExpandCoilsd("data"), IMAGE, lambda x: expand(x, MAPS.movedim(0, 1))),
    "combine": (CombineCoilsd("data"), COILS, lambda x: combine(x, MAPS.movedim(0, 1))),
    "root_sum_of_squares": (RootSumOfSquaresd("data"), COILS, root_sum_of_squares),
}


@pytest.mark.parametrize(("transform", "value", "function"), CASES.values(), ids=CASES)
def test_each_transform_is_its_function_in_a_copy_of_the_item(transform, value: Tensor, function):
    item = {"data": value, "maps": MAPS, "other": "kept"}
    result = transform(item)
    assert torch.equal(result["data"], function(value))
    assert item["data"] is value
    assert result["other"] == "kept"
    assert set(result) == set(item)


@pytest.mark.parametrize(("transform", "value", "function"), CASES.values(), ids=CASES)
def test_meta_tensors_and_arrays_are_taken_too(transform, value: Tensor, function):
    affine = torch.diag(torch.tensor([1.0, 2, 3, 1], dtype=torch.float64))
    result = transform({"data": MetaTensor(value, affine=affine), "maps": MAPS})["data"]
    assert isinstance(result, MetaTensor)
    assert torch.equal(result.affine, affine)
    assert torch.equal(result.as_tensor(), function(value))
    assert torch.equal(transform({"data": value.numpy(), "maps": MAPS.numpy()})["data"], function(value))


@pytest.mark.parametrize(("transform", "value", "function"), CASES.values(), ids=CASES)
def test_real_data_are_refused(transform, value: Tensor, function):
    with pytest.raises(ValueError, match=r"data: expected complex numbers, received torch\.float32"):
        transform({"data": value.real, "maps": MAPS})


def test_slices_have_maps_without_slice_axis():
    maps = MAPS[:, 0]
    assert torch.equal(ExpandCoilsd("data")({"data": IMAGE[1], "maps": maps})["data"], expand(IMAGE[1], maps))
    assert torch.equal(
        CombineCoilsd("data")({"data": COILS[1], "maps": maps})["data"], combine(COILS[1], maps)
    )


@pytest.mark.parametrize(
    ("transform", "value"), [(ExpandCoilsd("data"), IMAGE), (CombineCoilsd("data"), COILS)]
)
def test_maps_of_a_slice_do_not_fit_a_volume(transform: MapTransform, value: Tensor):
    with pytest.raises(
        ValueError, match=r"maps: expected .* received shape \(3, 7, 6\) for data of 4 axes with coils"
    ):
        transform({"data": value, "maps": MAPS[:, 0]})


def test_several_keys_and_missing_ones():
    result = FFT2cd(["a", "b", "c"], allow_missing_keys=True)({"a": IMAGE, "c": COILS})
    assert set(result) == {"a", "c"}
    assert torch.equal(result["a"], fft2c(IMAGE))
    assert torch.equal(result["c"], fft2c(COILS))
    with pytest.raises(KeyError, match="Key `b` of transform `FFT2cd` was missing"):
        FFT2cd(["a", "b"])({"a": IMAGE})


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 7, 6)])
def test_a_volume_enters_the_network_slice_by_slice(shape: tuple[int, ...]):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    result = NetworkInputd("kspace")({"kspace": COILS, "mask": mask})
    assert torch.equal(result["kspace"], network_input(COILS, mask))
    assert result["mask"] is mask
    one = mask if mask.ndim == 1 else mask[1]
    assert torch.equal(
        NetworkInputd("kspace")({"kspace": COILS[1], "mask": one})["kspace"], result["kspace"][1]
    )


def test_lines_of_each_slice_are_meant_where_slices_and_rows_are_as_many():
    kspace, mask = random_complex(7, 1, 7, 6), torch.eye(7, 6, dtype=torch.bool)
    result = NetworkInputd("kspace")({"kspace": kspace, "mask": mask})["kspace"]
    assert torch.equal(result[3, -1], mask[3].float().expand(7, 6))


def test_maps_enter_as_channels_of_every_slice():
    transform = NetworkInputd("kspace", maps_key="maps")
    mask = torch.ones(6, dtype=torch.bool)
    maps = transform({"kspace": COILS, "mask": mask, "maps": MAPS})["maps"]
    assert torch.equal(maps, complex_to_channels(MAPS.movedim(0, 1)).expand(2, 6, 7, 6))
    one = transform({"kspace": COILS[0], "mask": mask, "maps": MAPS[:, 0]})["maps"]
    assert torch.equal(one, maps[0])


def test_an_image_is_no_kspace():
    with pytest.raises(ValueError, match=r"image: expected k-space .*, received shape \(7, 6\)"):
        NetworkInputd("image")({"image": IMAGE[0], "mask": torch.ones(6, dtype=torch.bool)})


CONFIG = """{
    "preprocessing": {"_target_": "Compose", "transforms": [
        {"_target_": "kseg.transforms.dictionary.IFFT2cd", "keys": "kspace"},
        {"_target_": "kseg.transforms.dictionary.CombineCoilsd", "keys": ["kspace"], "maps_key": "maps"},
        {"_target_": "kseg.transforms.dictionary.ExpandCoilsd", "keys": ["kspace"]},
        {"_target_": "kseg.transforms.dictionary.FFT2cd", "keys": "kspace", "allow_missing_keys": true},
        {"_target_": "kseg.transforms.dictionary.NetworkInputd", "keys": "kspace", "mask_key": "mask"}]},
    "magnitude": {"_target_": "kseg.transforms.dictionary.RootSumOfSquaresd", "keys": "kspace"}
}"""


def parsed(name: str) -> Any:
    return ConfigParser(json.loads(CONFIG)).get_parsed_content(name)


def test_a_bundle_names_them_in_json():
    item = {"kspace": COILS, "maps": MAPS, "mask": torch.ones(6, dtype=torch.bool)}
    result = parsed("preprocessing")(item)["kspace"]
    maps = MAPS.movedim(0, 1)
    expected = network_input(fft2c(expand(combine(ifft2c(COILS), maps), maps)), item["mask"])
    assert torch.equal(result, expected)
    assert torch.equal(parsed("magnitude")(item)["kspace"], root_sum_of_squares(COILS))


def test_the_imaginary_part_survives_the_whole_chain():
    item = {"maps": torch.ones(1, 1, 7, 6, dtype=torch.complex64), "mask": torch.ones(6, dtype=torch.bool)}
    chain = parsed("preprocessing")
    plain = chain({**item, "kspace": COILS[:, :1]})["kspace"]
    conjugate = chain({**item, "kspace": COILS[:, :1].conj()})["kspace"]
    assert torch.allclose(conjugate[:, 0], plain[:, 0], atol=1e-5)
    assert torch.allclose(conjugate[:, 1], -plain[:, 1], atol=1e-5)
    assert float(plain[:, 1].abs().min()) > 0


def test_items_make_batches():
    items = [{"kspace": random_complex(2, 7, 6), "mask": torch.ones(6, dtype=torch.bool)} for _ in range(3)]
    batch = list_data_collate([Compose([FFT2cd("kspace"), NetworkInputd("kspace")])(item) for item in items])
    assert batch["kspace"].shape == (3, 5, 7, 6)
    complex_batch = list_data_collate([FFT2cd("kspace")(item) for item in items])
    assert np.array_equal(complex_batch["kspace"][2].numpy(), fft2c(items[2]["kspace"]).numpy())


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 7, 6)])
def test_coils_are_prepared_with_the_mask_of_their_scan(shape: tuple[int, ...]):
    kspace, mask = random_complex(2, 12, 7, 6), torch.ones(shape, dtype=torch.bool)
    mask[..., 0] = False
    with pytest.raises(ValueError, match=r"^coil sensitivities: expected at least 8 x 8 samples"):
        PrepareCoilsd("data")({"data": kspace, "mask": mask})
    maps = random_complex(12, 1, 7, 6)
    item = {
        "data": kspace,
        "mask": mask,
        "maps": maps,
        "data_meta_dict": {"subject": "x", "notes": "echo 1 of 2"},
    }
    result = PrepareCoilsd("data")(item)
    assert torch.equal(result["data"], kspace)
    torch.testing.assert_close(
        result["maps"], (maps / torch.linalg.vector_norm(maps, dim=0)).expand(-1, 2, -1, -1)
    )
    assert result["data_meta_dict"] == {"subject": "x", "notes": "echo 1 of 2\nsensitivities as stored"}
    assert item["data_meta_dict"]["notes"] == "echo 1 of 2"


def test_many_coils_become_fewer_with_sensitivities_and_one_has_none():
    image = torch.ones(2, 32, 32, dtype=torch.complex64)
    maps = coil_maps(12, (32, 32), torch.Generator().manual_seed(1))
    kspace, lines = fft2c(expand(image, maps.movedim(0, 1))), torch.arange(32) > 2
    item = {"a": kspace, "b": kspace[:, :1], "lines": lines, "all": torch.ones(32, dtype=torch.bool)}
    result = PrepareCoilsd(["a", "b"], mask_keys=["lines", "all"], maps_keys=["maps_a", "maps_b"])(item)
    expected = prepare_coils(kspace, lines.expand(2, 1, 32))
    assert torch.equal(result["a"], expected.kspace)
    assert expected.maps is not None
    assert torch.equal(result["maps_a"], expected.maps)
    assert result["a_meta_dict"]["notes"] == "\n".join(expected.notes)
    assert torch.equal(result["b"], kspace[:, :1])
    assert "maps_b" not in result
    assert result["b_meta_dict"]["notes"] == ""


def test_coils_of_a_slice_cannot_be_prepared():
    item = {"data": COILS[0], "mask": torch.ones(6, dtype=torch.bool)}
    message = r"^data: expected k-space of a volume \(slice, coil, y, x\), received shape \(3, 7, 6\)$"
    with pytest.raises(ValueError, match=message):
        PrepareCoilsd("data")(item)
    message = r"^maps keys: expected one for each of \['a', 'b'\], received \['maps'\]$"
    with pytest.raises(ValueError, match=message):
        PrepareCoilsd(["a", "b"], mask_keys=["c", "d"])
