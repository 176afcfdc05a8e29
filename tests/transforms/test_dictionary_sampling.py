import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from torch import Tensor

from kseg.transforms.dictionary import NetworkInputd
from kseg.transforms.dictionary_sampling import (
    EquispacedLinesd,
    GaussianLinesd,
    MaskDraw,
    PoissonDiscd,
    SampleKSpaced,
    UniformLinesd,
)
from kseg.transforms.sampling import equispaced_lines, gaussian_lines, poisson_disc, uniform_lines
from kseg.transforms.seeds import item_generator

MODULE = "kseg.transforms.dictionary_sampling"
LINES = [GaussianLinesd, UniformLinesd, EquispacedLinesd]
ALL = [*LINES, PoissonDiscd]
N_Y, N_X = 12, 20


def volume(n_coils: int = 2, *slices: int) -> Tensor:
    shape = (*(slices or (3,)), n_coils, N_Y, N_X)
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(n_coils))


def item(**entries: Any) -> dict[str, Any]:
    return {"kspace": volume(), "subject": "head_01", **entries}


def make(kind: type[SampleKSpaced], keys: Any = "kspace", **draw: Any) -> SampleKSpaced:
    return kind(keys, 0.4, 4, draw=MaskDraw(**{"item_key": "subject", **draw}))


def on_kspace(mask: Tensor) -> Tensor:
    """A mask of a volume, (x,), (slice, x) or (slice, y, x), as (slice, 1, y, x)."""
    if mask.ndim == 2:
        mask = mask[:, None]
    return mask.expand(3, N_Y, N_X)[:, None]


@pytest.mark.parametrize("per", ["volume", "slice"])
@pytest.mark.parametrize("kind", ALL)
def test_measured_samples_are_kept_and_the_others_are_zero(kind: type[SampleKSpaced], per: str):
    original = item()
    result = make(kind, per=per)(original)
    sampled = on_kspace(result["mask"])
    assert result["mask"].dtype == torch.bool
    assert torch.equal(result["kspace"], torch.where(sampled, original["kspace"], torch.zeros(())))
    assert torch.equal(original["kspace"], volume())
    assert "mask" not in original


@pytest.mark.parametrize("per", ["volume", "slice"])
@pytest.mark.parametrize("kind", ALL)
def test_every_slice_has_the_exact_count_and_its_own_mask_only_if_asked(kind: type[SampleKSpaced], per: str):
    mask = make(kind, per=per)(item())["mask"]
    points, each = kind is PoissonDiscd, per == "slice"
    assert mask.shape == ((3, N_Y, N_X) if points else (3, N_X) if each else (N_X,))
    slices = on_kspace(mask)[:, 0]
    count = 96 if points else 8
    assert [int(one.sum()) for one in slices] == [count if points else count * N_Y] * 3
    assert torch.equal(slices[0], slices[1]) != each


def expected_masks(generator_of: Callable[[], torch.Generator]) -> dict[type[SampleKSpaced], Tensor]:
    offset = int(torch.randint(N_X - 4, (1,), generator=generator_of()))
    return {
        GaussianLinesd: gaussian_lines(N_X, 8, 4, generator_of()),
        UniformLinesd: uniform_lines(N_X, 8, 4, generator_of()),
        EquispacedLinesd: equispaced_lines(N_X, 8, 4, offset),
        PoissonDiscd: poisson_disc((N_Y, N_X), 96, 4, generator_of()),
    }


@pytest.mark.parametrize("kind", ALL)
def test_masks_are_those_of_the_function_with_the_seed_of_the_item(kind: type[SampleKSpaced]):
    whole = expected_masks(lambda: item_generator(7, "mask", "head_01"))[kind]
    received = make(kind, seed=7)(item())["mask"]
    assert torch.equal(received, whole if whole.ndim == 1 else whole.expand(3, N_Y, N_X))
    last = expected_masks(lambda: item_generator(7, "mask", "head_01", 2))[kind]
    assert torch.equal(make(kind, seed=7, per="slice")(item())["mask"][2], last)


@pytest.mark.parametrize("kind", ALL)
def test_a_slice_on_its_own_gets_the_mask_that_it_has_in_its_volume(kind: type[SampleKSpaced]):
    whole = make(kind, per="slice")(item())
    alone = make(kind, per="slice", item_key=["subject", "slice"])(item(kspace=volume()[1], slice=1))
    assert torch.equal(alone["mask"], whole["mask"][1])
    assert torch.equal(alone["kspace"], whole["kspace"][1])


def test_parameters_reach_the_function():
    keyword = {"draw": MaskDraw(item_key="subject")}
    generator = item_generator(0, "mask", "head_01")
    narrow = GaussianLinesd("kspace", 0.4, 4, width=0.02, floor=0.0, **keyword)(item())["mask"]
    assert torch.equal(narrow, gaussian_lines(N_X, 8, 4, generator, width=0.02, floor=0.0))
    shifted = EquispacedLinesd("kspace", 0.4, 4, offset=3, **keyword)(item())["mask"]
    assert torch.equal(shifted, equispaced_lines(N_X, 8, 4, 3))


def test_the_default_is_the_mask_of_the_project():
    mask = GaussianLinesd("kspace")({"kspace": torch.ones(1, 4, 180, dtype=torch.complex64)})["mask"]
    assert int(mask.sum()) == 54
    assert bool(mask[82:98].all())


@pytest.mark.parametrize("kind", ALL)
def test_several_keys_share_the_one_mask(kind: type[SampleKSpaced]):
    t1, t2 = volume(1), volume(4)
    result = make(kind, ["t1", "t2"], mask_key="sampled")({"t1": t1, "t2": t2, "subject": "head_01"})
    sampled = on_kspace(result["sampled"])
    assert "mask" not in result
    assert torch.equal(result["t1"] != 0, sampled.expand_as(t1))
    assert torch.equal(result["t2"] != 0, sampled.expand_as(t2))
    alone = make(kind, "t1")({"t1": t1, "subject": "head_01"})
    assert torch.equal(alone["t1"], result["t1"])


@pytest.mark.parametrize("kind", ALL)
def test_masks_follow_the_item_or_the_state_of_monai(kind: type[SampleKSpaced]):
    named = Compose([make(kind)])
    expected = named(item())["mask"]
    named.set_random_state(seed=1)
    assert torch.equal(named(item())["mask"], expected)
    assert any(not torch.equal(make(kind, seed=seed)(item())["mask"], expected) for seed in range(1, 6))

    free = Compose([make(kind, item_key=None)])
    first, again = (free.set_random_state(seed=5)(item())["mask"] for _ in range(2))
    assert torch.equal(first, again)
    assert any(not torch.equal(free(item())["mask"], first) for _ in range(5))


@pytest.mark.parametrize("kind", ALL)
def test_meta_tensors_stay_meta_tensors(kind: type[SampleKSpaced]):
    affine = torch.diag(torch.tensor([1.0, 2, 3, 1], dtype=torch.float64))
    result = make(kind)(item(kspace=MetaTensor(volume(), affine=affine)))["kspace"]
    assert isinstance(result, MetaTensor)
    assert torch.equal(result.affine, affine)
    assert torch.equal(result.as_tensor(), make(kind)(item())["kspace"])


@pytest.mark.parametrize("per", ["volume", "slice"])
@pytest.mark.parametrize("kind", ALL)
def test_the_mask_enters_the_network_with_its_kspace(kind: type[SampleKSpaced], per: str):
    result = Compose([make(kind, per=per), NetworkInputd("kspace")])(item())
    assert torch.equal(result["kspace"][:, -1:], on_kspace(result["mask"]).float())


def test_items_without_kspace_pass_if_they_may():
    transform = GaussianLinesd(["kspace"], 0.4, 4, allow_missing_keys=True)
    assert transform({"subject": "head_01"}) == {"subject": "head_01"}
    with pytest.raises(KeyError, match="Key `kspace` of transform `GaussianLinesd` was missing"):
        GaussianLinesd("kspace", 0.4, 4)({"subject": "head_01"})


def test_fully_sampled_kspace_may_say_so_and_under_sampled_is_refused():
    full = item(mask=torch.ones(N_X, dtype=torch.bool))
    assert torch.equal(make(GaussianLinesd)(full)["mask"], make(GaussianLinesd)(item())["mask"])
    with pytest.raises(
        ValueError, match=r"mask: expected fully sampled k-space, received a mask .* for 8 of 20"
    ):
        make(GaussianLinesd)(make(GaussianLinesd)(item()))


def test_keys_on_different_grids_are_refused():
    with pytest.raises(ValueError, match=r"received t1 \(3, 12, 20\), t2 \(12, 20\)"):
        make(UniformLinesd, ["t1", "t2"])({"t1": volume(), "t2": volume()[0], "subject": "head_01"})


def test_a_mask_is_drawn_per_volume_or_per_slice():
    with pytest.raises(ValueError, match="mask per: expected 'volume' or 'slice', received 'epoch'"):
        MaskDraw(per="epoch")


def test_real_kspace_is_refused():
    with pytest.raises(ValueError, match=r"kspace: expected complex numbers, received torch\.float32"):
        make(GaussianLinesd)(item(kspace=volume().real))


@pytest.mark.parametrize("kind", ALL)
def test_a_bundle_names_them_in_json(kind: type[SampleKSpaced]):
    draw = {"_target_": f"{MODULE}.MaskDraw", "per": "slice", "seed": 7, "item_key": ["subject"]}
    config = {
        "_target_": f"{MODULE}.{kind.__name__}",
        "keys": ["kspace"],
        "fraction": 0.4,
        "n_center": 4,
        "draw": draw,
    }
    transform = ConfigParser(json.loads(json.dumps({"sample": config}))).get_parsed_content("sample")
    assert type(transform) is kind
    assert torch.equal(transform(item())["mask"], make(kind, per="slice", seed=7)(item())["mask"])
