from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kseg.transforms import rand_scan
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.deformation import DeformationStrength
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.grid import AcquisitionGrid, place_grid
from kseg.transforms.head import CrispHead
from kseg.transforms.phantom import class_fractions, make_phantom
from kseg.transforms.rand_scan import RandHeadSliced, RandLineCount, RandScanSliced
from kseg.transforms.rand_sequence import RandSequence
from kseg.transforms.sampling import line_count
from kseg.transforms.scan import scan_kspace
from kseg.transforms.sequences import SpinEcho
from kseg.transforms.tissues import load_tissue_table

GRID = AcquisitionGrid(shape=(5, 20, 16), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=2.0)
TISSUES = ("air", "csf", "gm", "wm")
STILL = DeformationStrength(0.0, rotation_deg=0.0, scaling=0.0, shear=0.0, flip_probability=0.0)
FIXED = {"time_jitter": 0.0, "tissue_jitter": 0.0, "lines": RandLineCount(other_probability=0.0)}
ALL_LINES = RandLineCount(1.0, other_probability=0.0)
N_Y, N_X = 32, 180


def head() -> CrispHead:
    indices = np.zeros((18, 24, 20), dtype=np.uint8)
    generator = np.random.default_rng(0)
    indices[3:-3, 3:-3, 3:-3] = generator.integers(0, 4, (12, 18, 14))
    indices[5:-5, 5:-5, 5:-5] = 2
    return CrispHead(indices, TISSUES, (1.0, 1.0, 1.0), np.eye(4))


def sliced(
    moves: dict[str, float],
    slice_index: int = 2,
    seed: int = 0,
    slice_jitter: float = 0.0,
    n_neighbours: int = 0,
) -> dict[Hashable, Any]:
    transform = RandHeadSliced(replace(STILL, **moves), slice_jitter, n_neighbours)
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
    ("moves", "slice_jitter"),
    [
        ({"velocity_sd_mm": 2.5}, 0.0),
        ({"rotation_deg": 20.0}, 0.0),
        ({"scaling": 0.2}, 0.0),
        ({"shear": 0.2}, 0.0),
        ({}, 0.5),
    ],
)
def test_the_label_is_the_majority_of_a_head_that_moved(moves: dict[str, float], slice_jitter: float):
    item = sliced(moves, slice_jitter=slice_jitter)
    shares = class_fractions(item["fractions"], TISSUES)
    assert torch.equal(item["label"][0].long(), shares.argmax(0))
    torch.testing.assert_close(item["fractions"].sum(0), torch.ones(20, 16))
    assert not torch.equal(item["fractions"], sliced({})["fractions"])
    assert torch.equal(item["fractions"], sliced(moves, slice_jitter=slice_jitter)["fractions"])
    assert not torch.equal(item["fractions"], sliced(moves, seed=1, slice_jitter=slice_jitter)["fractions"])


@pytest.mark.parametrize(("slice_index", "shares"), [(1, {0.0, 0.33}), (2, {1.0, 0.67})])
def test_the_slice_is_shifted_by_half_a_slice_at_most(slice_index: int, shares: set[float]):
    # Planes 6 to 8 lie in slice 1, planes 9 to 11 in slice 2; half a slice further one is exchanged.
    indices = np.full((18, 24, 20), 1, dtype=np.uint8)
    indices[9:] = 2
    ramp = CrispHead(indices, TISSUES, (1.0, 1.0, 1.0), np.eye(4))
    grid = AcquisitionGrid(shape=(5, 24, 20), spacing_mm=(3.0, 1.0, 1.0), headroom_mm=0.0)
    item = {"head": ramp, "placed": place_grid(grid, indices == 2, ramp.spacing_mm), "slice": slice_index}
    transform = RandHeadSliced(STILL, slice_jitter=0.5)
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


def test_lines_fall_with_the_epochs_and_nothing_else_changes():
    lines = RandLineCount(0.3, other_probability=0.0, patience=4)
    transform = RandScanSliced(**{**FIXED, "lines": lines})  # type: ignore[arg-type]

    def in_epoch(epoch: int) -> dict[Hashable, Any]:
        transform.set_random_state(3)
        return transform({"fractions": disc(), "tissues": TISSUES, "epoch": epoch})

    items = [in_epoch(epoch) for epoch in range(6)]
    # 180 lines times 0.99 (0.3 / 0.99)^(epoch / 4).
    assert [int(item["image"][2, 0].sum()) for item in items] == [178, 132, 98, 73, 54, 54]
    assert all(torch.equal(item["reference"], items[0]["reference"]) for item in items)
    usual = RandScanSliced(**{**FIXED, "lines": RandLineCount(0.3, other_probability=0.0)})  # type: ignore[arg-type]
    usual.set_random_state(3)
    assert torch.equal(usual({"fractions": disc(), "tissues": TISSUES})["image"], items[4]["image"])
    with pytest.raises(KeyError, match="epoch"):
        transform({"fractions": disc(), "tissues": TISSUES})


SCANS = (
    RandSequence("spin_echo", te=(0.06, 0.12), tr=(2.5, 6.0)),
    RandSequence("gradient_echo", te=(0.003, 0.01), tr=(0.15, 0.4)),
    RandSequence("inversion_recovery", te=(0.008, 0.02), tr=(3.0, 6.0), ti=(0.5, 1.0)),
)


def test_each_item_draws_one_of_the_scans_by_its_random_state(monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []

    def record(fractions, tissues, sequence, **arguments):
        seen.append(sequence)
        return scan_kspace(fractions, tissues, sequence, **arguments)

    monkeypatch.setattr(rand_scan, "scan_kspace", record)
    images = [scanned(disc(), seed, scans=SCANS) for seed in range(30)]
    first, kinds = list(seen), [type(sequence).__name__ for sequence in seen]
    assert all(5 <= kinds.count(kind) <= 16 for kind in ("SpinEcho", "GradientEcho", "InversionRecovery"))
    for sequence in first:
        (scan,) = (each for each in SCANS if isinstance(sequence, type(each.draw(torch.Generator()))))
        for name, values in (("te", scan.te), ("tr", scan.tr), ("ti", scan.ti)):
            assert values is None or values[0] <= getattr(sequence, name) <= values[1]
    assert len({sequence.te for sequence in first}) == len(first)
    seen.clear()
    backwards = [scanned(disc(), seed, scans=SCANS) for seed in reversed(range(30))]
    assert list(reversed(seen)) == first
    assert all(torch.equal(one, other) for one, other in zip(images, reversed(backwards), strict=True))
    # The wrong twin: without scans all are spin echoes around one echo time.
    seen.clear()
    scanned(disc(), 0)
    assert seen == [SpinEcho()]


@pytest.mark.parametrize(
    ("scan", "brightest"),
    [
        (RandSequence("spin_echo", te=(0.08, 0.08), tr=(3.0, 3.0)), "csf"),
        (RandSequence("gradient_echo", te=(0.005, 0.005), tr=(0.25, 0.25)), "wm"),
        (RandSequence("inversion_recovery", te=(0.01, 0.01), tr=(6.0, 6.0), ti=(1.5, 1.5)), "wm"),
    ],
)
def test_the_noise_is_that_share_of_the_brightest_tissue(scan: RandSequence, brightest: str):
    air = torch.zeros(4, 216, N_X)
    air[0] = 1
    noise = scanned(air, noise=(0.1, 0.1), lines=ALL_LINES, scans=[scan])[:2]
    table, sequence = load_tissue_table("1.5T"), scan.draw(torch.Generator())
    signals = {name: abs(sequence.signal([table[name]]).item()) for name in ("csf", "gm", "wm")}
    assert max(signals, key=lambda name: signals[name]) == brightest
    assert noise.std().item() == pytest.approx(0.1 * signals[brightest], rel=0.03)


@pytest.mark.parametrize(("slice_index", "offsets"), [(0, [0, 1]), (2, [-1, 1]), (4, [-1, 0])])
def test_neighbours_are_slices_of_the_same_deformed_head(slice_index: int, offsets: list[int]):
    moved = {"velocity_sd_mm": 2.5, "rotation_deg": 10.0, "flip_probability": 0.5}
    alone, item = sliced(moved, slice_index), sliced(moved, slice_index, n_neighbours=1)
    assert torch.equal(item["fractions"], alone["fractions"])
    assert torch.equal(item["label"], alone["label"])
    assert alone["neighbours"] == []
    assert [offset for offset, _ in item["neighbours"]] == offsets
    for offset, fractions in item["neighbours"]:
        expected = sliced(moved, slice_index + offset)["fractions"]
        torch.testing.assert_close(fractions, expected, rtol=0, atol=1e-6)
        # The wrong twin: another deformation for each slice.
        assert not torch.equal(fractions, sliced(moved, slice_index + offset, seed=1)["fractions"])


def test_neighbours_are_scanned_like_the_slice_with_noise_of_their_own():
    other = disc().roll(3, -1)
    item = {"fractions": disc(), "tissues": TISSUES, "neighbours": [(-1, other), (1, disc())]}

    def scan(level: float, **changes: Any) -> Tensor:
        transform = RandScanSliced(**{**FIXED, "noise": (level, level), "tissue_jitter": 0.1})  # type: ignore[arg-type]
        transform.set_random_state(3)
        image: Tensor = transform({**item, **changes})["image"]
        return image

    noisy, clean, alone = scan(0.1), scan(0.0), scan(0.1, neighbours=[])
    assert noisy.shape == (7, N_Y, N_X)
    assert torch.equal(noisy[:3], alone)
    mask = clean[2].bool()
    # The same tissues, phase and lines: a neighbour of the same fractions has the same k-space but for its noise.
    torch.testing.assert_close(clean[5:7], clean[:2])
    assert not clean[3:, ~mask].any()
    assert not torch.allclose(clean[3:5], clean[:2], atol=1e-3)
    own, further = (noisy - clean)[:2, mask], (noisy - clean)[5:7, mask]
    assert further.std().item() == pytest.approx(own.std().item(), rel=0.05)
    assert abs(torch.corrcoef(torch.stack([own.flatten(), further.flatten()]))[0, 1].item()) < 0.05


def test_a_slice_that_stands_for_its_neighbour_is_the_same_measurement():
    transform = RandScanSliced(noise=(0.1, 0.1))
    transform.set_random_state(0)
    item = {"fractions": disc(), "tissues": TISSUES, "neighbours": [(0, disc()), (1, disc())]}
    image = transform(item)["image"]
    assert torch.equal(image[3:5], image[:2])
    assert not torch.equal(image[5:7], image[:2])


def test_changes_that_are_impossible_are_refused_at_once():
    with pytest.raises(ValueError, match=r"^time jitter: expected 0 or more and below 1, received 1\.0$"):
        RandScanSliced(time_jitter=1.0)
    with pytest.raises(
        ValueError, match=r"^sequence times in seconds: expected .* received te 0\.12, tr 0\.1$"
    ):
        RandScanSliced(SpinEcho(te=0.08, tr=0.2), time_jitter=0.5)
    with pytest.raises(ValueError, match=r"^tissue jitter: expected 0 or more and below 1, received 2\.0$"):
        RandScanSliced(tissue_jitter=2.0)


def test_a_subclass_draws_other_lines_of_the_same_scan():
    class LowerLines(RandScanSliced):
        def mask(self, n_x: int, fraction: float, generator: torch.Generator) -> Tensor:
            return torch.arange(n_x) < line_count(n_x, fraction)

    images = []
    for kind in (RandScanSliced, LowerLines):
        transform = kind(**{**FIXED, "noise": (0.0, 0.0)})  # type: ignore[arg-type]
        transform.set_random_state(3)
        images.append(transform({"fractions": disc(), "tissues": TISSUES})["image"])
    usual, lower = images
    assert torch.equal(lower[2], (torch.arange(N_X) < 54).float().expand(N_Y, -1))
    both = (usual[2] * lower[2]).bool()
    assert both.any()
    assert torch.equal(usual[:2, both], lower[:2, both])
