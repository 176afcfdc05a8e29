from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.transforms import rand_scan
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.grid import AcquisitionGrid, place_grid
from kseg.transforms.head import CrispHead
from kseg.transforms.phantom import class_fractions, make_phantom
from kseg.transforms.rand_scan import RandHeadSliced, RandLineCount, RandScanSliced
from kseg.transforms.sampling import line_count
from kseg.transforms.scan import scan_kspace
from kseg.transforms.sequences import SpinEcho
from kseg.transforms.tissues import load_tissue_table

GRID = AcquisitionGrid(shape=(5, 20, 16), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=2.0)
TISSUES = ("air", "csf", "gm", "wm")
MOVES = ("velocity_sd_mm", "rotation_deg", "scaling", "flip_probability", "slice_jitter", "shear")
STILL = dict.fromkeys(MOVES, 0.0)
FIXED = {"time_jitter": 0.0, "tissue_jitter": 0.0, "lines": RandLineCount(other_probability=0.0)}
ALL_LINES = RandLineCount(1.0, other_probability=0.0)
N_Y, N_X = 32, 180


def head() -> CrispHead:
    indices = np.zeros((18, 24, 20), dtype=np.uint8)
    generator = np.random.default_rng(0)
    indices[3:-3, 3:-3, 3:-3] = generator.integers(0, 4, (12, 18, 14))
    indices[5:-5, 5:-5, 5:-5] = 2
    return CrispHead(indices, TISSUES, (1.0, 1.0, 1.0), np.eye(4))


def sliced(changes: dict[str, float], slice_index: int = 2, seed: int = 0) -> dict[Hashable, Any]:
    transform = RandHeadSliced(**{**STILL, **changes})
    transform.set_random_state(seed)
    placed = place_grid(GRID, head().membership("gm") > 0, head().spacing_mm)
    return transform({"head": head(), "placed": placed, "slice": slice_index, "subject": "head"})


def scanned(fractions: Tensor, seed: int = 0, **changes: object) -> Tensor:
    transform = RandScanSliced(**{**FIXED, **changes})  # type: ignore[arg-type]
    transform.set_random_state(seed)
    image: Tensor = transform({"fractions": fractions, "tissues": TISSUES})["image"]
    return image


def disc() -> Tensor:
    """White matter in grey matter in air, (tissue, y, x)."""
    y, x = torch.linspace(-1, 1, N_Y)[:, None], torch.linspace(-1, 1, N_X)
    labels = 2 * (y**2 + x**2 < 0.64).long() + (y**2 + x**2 < 0.25)
    return torch.nn.functional.one_hot(labels, 4).movedim(-1, 0).float()


@pytest.mark.parametrize("slice_index", range(5))
def test_without_deformation_it_is_the_slice_of_the_phantom(slice_index: int):
    phantom, item = make_phantom(head(), "head", grid=GRID), sliced({}, slice_index)
    torch.testing.assert_close(item["fractions"], phantom.fractions[:, slice_index], rtol=0, atol=1e-6)
    largest, second = class_fractions(item["fractions"], TISSUES).topk(2, dim=0).values
    clear = largest - second > 1e-3
    assert torch.equal(item["label"][0][clear], phantom.labels[slice_index][clear])
    assert item["tissues"] == TISSUES
    assert item["subject"] == "head"


@pytest.mark.parametrize(
    "changes",
    [
        {"velocity_sd_mm": 2.5},
        {"rotation_deg": 20.0},
        {"scaling": 0.2},
        {"shear": 0.2},
        {"slice_jitter": 0.5},
    ],
)
def test_the_label_is_the_majority_of_a_head_that_moved(changes: dict[str, float]):
    item = sliced(changes)
    shares = class_fractions(item["fractions"], TISSUES)
    assert torch.equal(item["label"][0].long(), shares.argmax(0))
    torch.testing.assert_close(item["fractions"].sum(0), torch.ones(20, 16))
    assert not torch.equal(item["fractions"], sliced({})["fractions"])
    assert torch.equal(item["fractions"], sliced(changes)["fractions"])
    assert not torch.equal(item["fractions"], sliced(changes, seed=1)["fractions"])


@pytest.mark.parametrize(("slice_index", "shares"), [(1, {0.0, 0.33}), (2, {1.0, 0.67})])
def test_the_slice_is_shifted_by_half_a_slice_at_most(slice_index: int, shares: set[float]):
    # Planes 6 to 8 lie in slice 1, planes 9 to 11 in slice 2; half a slice further one is exchanged.
    indices = np.full((18, 24, 20), 1, dtype=np.uint8)
    indices[9:] = 2
    ramp = CrispHead(indices, TISSUES, (1.0, 1.0, 1.0), np.eye(4))
    grid = AcquisitionGrid(shape=(5, 24, 20), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=0.0)
    item = {"head": ramp, "placed": place_grid(grid, indices == 2, ramp.spacing_mm), "slice": slice_index}
    transform = RandHeadSliced(**{**STILL, "slice_jitter": 0.5})
    transform.set_random_state(0)
    assert {round(transform(item)["fractions"][2].mean().item(), 2) for _ in range(30)} == shares


def test_a_flip_exchanges_left_and_right():
    flipped = sliced({"flip_probability": 1.0})["fractions"]
    # The volume of 20 voxels is turned about its middle; the grid of 16 lies in its middle as well.
    torch.testing.assert_close(flipped, sliced({})["fractions"].flip(-1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("fraction", [0.2, 0.3, 1.0])
def test_the_sampled_lines_are_as_many_as_asked_and_the_centre_is_among_them(fraction: float):
    for seed in range(3):
        mask = scanned(disc(), seed, lines=RandLineCount(fraction, other_probability=0.0))[2]
        assert torch.equal(mask, mask[:1].expand(N_Y, N_X))
        assert mask[0].sum() == line_count(N_X, fraction)
        assert mask[0, N_X // 2 - 8 : N_X // 2 + 8].all()


def test_other_shares_are_drawn_from_their_range():
    lines = RandLineCount(0.3, other_fractions=(0.5, 0.6), other_probability=0.5)
    counts = [int(scanned(disc(), seed, lines=lines)[2, 0].sum()) for seed in range(20)]
    usual, other = [n for n in counts if n == 54], [n for n in counts if n != 54]
    assert 4 <= len(usual) <= 16
    assert len(set(other)) > 2
    assert all(90 <= count <= 108 for count in other)


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_the_noise_is_that_share_of_the_signal_of_csf(level: float):
    air = torch.zeros(4, 216, N_X)
    air[0] = 1
    real, imaginary, mask = scanned(air, noise=(level, level))
    expected = level * SpinEcho(te=0.08, tr=3.0).signal([load_tissue_table("1.5T")["csf"]]).item()
    for part in (real, imaginary):
        assert part[mask.bool()].std().item() == pytest.approx(expected, rel=0.03)
        assert not part[~mask.bool()].any()
    assert abs((real * imaginary)[mask.bool()].mean().item()) < 0.03 * expected**2


def test_noise_levels_fill_their_range():
    air = torch.zeros(4, N_Y, N_X)
    air[0] = 1
    sigma = SpinEcho(te=0.08, tr=3.0).signal([load_tissue_table("1.5T")["csf"]]).item()
    levels = [
        scanned(air, seed, noise=(0.05, 0.15), lines=ALL_LINES)[:2].std().item() / sigma for seed in range(20)
    ]
    assert 0.045 < min(levels) < 0.08
    assert 0.12 < max(levels) < 0.155


def test_without_noise_and_all_lines_the_image_is_the_signal_of_the_tissues_and_has_a_phase():
    table = load_tissue_table("1.5T")
    signal = SpinEcho(te=0.08, tr=3.0).signal([table[name] for name in TISSUES])
    expected = torch.tensordot(signal, disc(), dims=1)
    channels = scanned(disc(), noise=(0.0, 0.0), lines=ALL_LINES)
    image = ifft2c(channels_to_complex(channels[None, :2]))[0, 0]
    # Relaxation during the readout of 0.4 ms blurs a little.
    assert (image.abs() - expected).norm() < 0.02 * expected.norm()
    assert image.imag.norm() > 0.1 * image.norm()


def test_the_reference_is_the_image_without_noise_and_with_all_lines():
    transform = RandScanSliced(**{**FIXED, "noise": (0.1, 0.1)})  # type: ignore[arg-type]
    transform.set_random_state(3)
    item = transform({"fractions": disc(), "tissues": TISSUES})
    assert item["reference"].dtype == torch.float32
    # The random state is the same: what differs is the noise, and the lines.
    clean = scanned(disc(), 3, noise=(0.0, 0.0), lines=ALL_LINES)
    expected = complex_to_channels(ifft2c(channels_to_complex(clean[None, :2])))[0]
    torch.testing.assert_close(item["reference"], expected)
    kspace = complex_to_channels(fft2c(channels_to_complex(item["reference"][None])))[0]
    sigma = 0.1 * SpinEcho(te=0.08, tr=3.0).signal([load_tissue_table("1.5T")["csf"]]).item()
    difference = (item["image"][:2] - kspace)[:, item["image"][2].bool()]
    assert difference.std().item() == pytest.approx(sigma, rel=0.05)


def test_tissues_and_times_vary_within_their_bounds(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def record(fractions, tissues, sequence, **arguments):
        seen.append((tissues, sequence))
        return scan_kspace(fractions, tissues, sequence, **arguments)

    monkeypatch.setattr(rand_scan, "scan_kspace", record)
    for seed in range(15):
        scanned(disc(), seed, time_jitter=0.05, tissue_jitter=0.1)
    table = load_tissue_table("1.5T")
    factors = torch.tensor(
        [
            [
                [new.pd / old.pd, new.t1 / old.t1, new.t2 / old.t2, new.t2_star / old.t2_star]
                for new, old in (
                    (tissue, table[name]) for name, tissue in zip(TISSUES[1:], tissues[1:], strict=True)
                )
            ]
            for tissues, _ in seen
        ]
    )
    assert ((factors - 1).abs() <= 0.1 + 1e-6).all()
    assert (factors.flatten(0, 1)[:, :3].amax(0) > 1.07).all()
    assert (factors.flatten(0, 1)[:, :3].amin(0) < 0.93).all()
    torch.testing.assert_close(factors[..., 2], factors[..., 3])
    times = torch.tensor([[sequence.te / 0.08, sequence.tr / 3.0] for _, sequence in seen])
    assert ((times - 1).abs() <= 0.05 + 1e-6).all()
    assert (times.amax(0) - times.amin(0) > 0.05).all()


def test_a_scan_depends_on_its_random_state_alone():
    first = scanned(disc(), 1)
    scanned(disc(), 2)
    assert torch.equal(scanned(disc(), 1), first)
    assert not torch.equal(scanned(disc(), 2)[:2], first[:2])
