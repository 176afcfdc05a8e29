"""A volume is its slices, each segmented as if it were alone."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from kseg.networks.seranet import SERANet, normalize_scan
from kseg.pipelines import segmentation
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.segmentation import segment_volume
from kseg.transforms.channels import network_input
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coils import expand
from kseg.transforms.fourier import fft2c, ifft2c

N_SLICES, N_Y, N_X = 5, 12, 10


class PixelNetwork(SERANet):
    """Segments every pixel by the magnitude of its zero-filled image alone, wherever it lies."""

    def __init__(self) -> None:
        super().__init__(n_blocks=0, n_recurrences=0, n_filters=1, unet_channels=(2, 4))

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        image = normalize_scan(x, maps)[2]
        magnitude = torch.linalg.vector_norm(image, dim=1, keepdim=True)
        return [image], [magnitude * torch.tensor([0.5, -1.0, 2.0, 1.0])[:, None, None]]


class LeftNetwork(PixelNetwork):
    """Is surer of class 1 the further left a pixel lies, whatever is there."""

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        images, logits = super().unroll(x, maps)
        towards_left = torch.zeros_like(logits[0])
        towards_left[:, 1] = -0.1 * torch.arange(x.shape[-1])
        return images, [towards_left]


@pytest.fixture(scope="module")
def network() -> SERANet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SERANet(n_blocks=1, n_recurrences=2, n_filters=4, unet_channels=(4, 8)).eval()


@pytest.fixture(scope="module")
def kspace() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N_SLICES, 1, N_Y, N_X, dtype=torch.complex64, generator=generator)


@pytest.mark.parametrize("shape", [(N_X,), (N_SLICES, N_X), (N_SLICES, N_Y, N_X)])
def test_every_slice_gets_its_own_mask(shape: tuple[int, ...], network: SERANet, kspace: Tensor) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.6
    result = segment_volume(network, kspace, mask, all_passes=True)
    assert result.probabilities.shape == (3, N_SLICES, 4, N_Y, N_X)
    assert result.images.shape == (3, N_SLICES, N_Y, N_X)
    for index in range(N_SLICES):
        one = mask if mask.ndim == 1 else mask[index]
        with torch.inference_mode():
            images, logits = network.unroll(network_input(kspace[index : index + 1], one))
        for number in range(3):
            expected = torch.softmax(logits[number][0], dim=0)
            torch.testing.assert_close(result.probabilities[number, index], expected)
            magnitude = torch.complex(*images[number][0]).abs()
            torch.testing.assert_close(result.images[number, index], magnitude)


def with_neighbours(n_neighbours: int) -> SERANet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"n_blocks": 1, "n_recurrences": 1, "n_filters": 4, "unet_channels": (4, 8)}
        return SERANet(**sizes, n_neighbours=n_neighbours).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("n_neighbours", [1, 2])
@pytest.mark.parametrize("slices_at_once", [1, 2, N_SLICES])
def test_every_slice_comes_with_its_neighbours(
    n_neighbours: int, slices_at_once: int, kspace: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(segmentation._PIXELS_AT_ONCE, "cpu", slices_at_once * N_Y * N_X)
    network = with_neighbours(n_neighbours)
    mask = torch.rand((N_SLICES, N_X), generator=torch.Generator().manual_seed(2)) < 0.6
    result = segment_volume(network, kspace, mask)
    each = [network_input(kspace[index : index + 1], mask[index]) for index in range(N_SLICES)]
    # The last slice of either end stands for those beyond it.
    padded = [*[each[0]] * n_neighbours, *each, *[each[-1]] * n_neighbours]
    for index in range(N_SLICES):
        around = padded[index : index + 2 * n_neighbours + 1]
        others = [*around[:n_neighbours], *around[n_neighbours + 1 :]]
        with torch.inference_mode():
            logits = network(torch.cat([each[index], *(other[:, :-1] for other in others)], dim=1))
        torch.testing.assert_close(result.probabilities[0, index], logits[0].softmax(0))
    # The wrong twin: the slices in another order have other neighbours.
    order = torch.tensor([0, 2, 1, 3, 4])
    other = segment_volume(network, kspace[order], mask[order])
    assert not torch.allclose(other.probabilities[0, 2], result.probabilities[0, 1], atol=1e-3)


def test_a_volume_of_one_slice_is_its_own_neighbour(kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    network, alone = with_neighbours(1), kspace[:1]
    thrice = segment_volume(network, alone.repeat(3, 1, 1, 1), mask).probabilities[0, 1]
    torch.testing.assert_close(segment_volume(network, alone, mask).probabilities[0, 0], thrice)


def test_neighbours_are_mirrored_with_the_slice(kspace: Tensor) -> None:
    network, mask = with_neighbours(1), torch.rand(N_X, generator=torch.Generator().manual_seed(2)) < 0.6
    mirrored_kspace, mirrored_mask = (reversed_about_the_centre(each) for each in (kspace, mask))
    received = segment_volume(network, kspace, mask, InferenceOptions(flip=True)).probabilities
    plain = segment_volume(network, kspace, mask).probabilities
    other = segment_volume(network, mirrored_kspace, mirrored_mask).probabilities
    expected = (plain + reversed_about_the_centre(other)) / 2
    torch.testing.assert_close(received, expected, rtol=0, atol=1e-6)


def test_the_same_volume_gives_the_same_bits(network: SERANet, kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    one, other = (segment_volume(network, kspace, mask) for _ in range(2))
    assert torch.equal(one.probabilities, other.probabilities)
    assert torch.equal(one.images, other.images)


def test_the_slices_at_once_change_nothing(
    network: SERANet, kspace: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = torch.rand((N_SLICES, N_X), generator=torch.Generator().manual_seed(2)) < 0.6
    together = segment_volume(network, kspace, mask)
    for slices_at_once in (1, 2):
        monkeypatch.setitem(segmentation._PIXELS_AT_ONCE, "cpu", slices_at_once * N_Y * N_X)
        torch.testing.assert_close(
            segment_volume(network, kspace, mask).probabilities, together.probabilities
        )
    monkeypatch.setitem(segmentation._PIXELS_AT_ONCE, "cpu", 1)
    torch.testing.assert_close(segment_volume(network, kspace, mask).images, together.images)


def test_without_all_passes_the_last_is_kept(network: SERANet, kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    last, every = (segment_volume(network, kspace, mask, all_passes=each) for each in (False, True))
    assert torch.equal(last.probabilities, every.probabilities[-1:])
    assert torch.equal(last.images, every.images[-1:])
    assert not torch.equal(every.probabilities[0], every.probabilities[-1])


def test_an_empty_slice_is_segmented_too(network: SERANet, kspace: Tensor) -> None:
    holed = kspace.clone()
    holed[2] = 0
    result = segment_volume(network, holed, torch.ones(N_X, dtype=torch.bool))
    assert result.probabilities.isfinite().all()


@pytest.fixture(scope="module")
def coil_scan() -> tuple[Tensor, Tensor, Tensor]:
    """Images (slice, y, x), the sensitivities of ten coils (coil, 1, y, x), and lines with a full centre."""
    y, x = torch.linspace(-1, 1, 40)[:, None], torch.linspace(-1, 1, 36)[None]
    head = 1.0 * ((y / 0.9) ** 2 + (x / 0.8) ** 2 < 1) + torch.tensor([0.4, 0.8, 1.2])[:, None, None] * (
        (y + 0.2).square() + (x / 0.7).square() < 0.3
    )
    lines = torch.arange(36) % 3 == 0
    lines[12:24] = True
    maps = coil_maps(10, (40, 36), torch.Generator().manual_seed(4))
    return head.to(torch.complex64), maps, lines


def coil_kspace(images: Tensor, maps: Tensor) -> Tensor:
    return fft2c(expand(images, maps.movedim(1, 0)))


def test_coils_with_their_sensitivities_are_the_image_that_they_combine_to(
    network: SERANet, coil_scan: tuple[Tensor, Tensor, Tensor]
) -> None:
    images, maps, lines = coil_scan
    everything = torch.ones_like(lines)
    one = segment_volume(network, fft2c(images)[:, None], everything, all_passes=True)
    # Their scale is taken out; so is nothing else.
    many = segment_volume(network, coil_kspace(images, maps), everything, maps=3 * maps, all_passes=True)
    torch.testing.assert_close(many.images, one.images, rtol=0, atol=1e-4)
    torch.testing.assert_close(many.probabilities, one.probabilities, rtol=0, atol=1e-4)
    assert (one.notes, many.notes) == ((), ("sensitivities as stored",))
    # Of lines that are left out, coils still tell something.
    sparse = segment_volume(network, coil_kspace(images, maps), lines, maps=maps)
    alone = segment_volume(network, fft2c(images)[:, None], lines)
    errors = [float((each.images[-1] - one.images[-1]).norm()) for each in (sparse, alone)]
    assert errors[0] < 0.9 * errors[1]


def test_sensitivities_that_are_not_known_are_estimated(
    network: SERANet, coil_scan: tuple[Tensor, Tensor, Tensor]
) -> None:
    images, maps, lines = coil_scan
    estimated = segment_volume(network, coil_kspace(images, maps), lines)
    known = segment_volume(network, coil_kspace(images, maps), lines, maps=maps)
    assert estimated.notes == (
        "10 coils compressed to 8",
        "sensitivities estimated from 24 x 13 central samples (y, x)",
    )
    inside = images.abs() > 0
    difference = torch.linalg.vector_norm((estimated.images - known.images)[:, inside])
    assert difference < 0.1 * known.images[:, inside].norm()
    # The wrong twin: sensitivities of other coils.
    other = segment_volume(network, coil_kspace(images, maps), lines, maps=maps.roll(3, 0))
    assert torch.linalg.vector_norm((other.images - known.images)[:, inside]) > 2 * difference


def test_coils_are_mirrored_with_their_sensitivities(
    network: SERANet, coil_scan: tuple[Tensor, Tensor, Tensor]
) -> None:
    images, maps, lines = coil_scan
    kspace, options = coil_kspace(images, maps), InferenceOptions(flip=True)
    received = segment_volume(network, kspace, lines, options, maps=maps).probabilities
    plain = segment_volume(network, kspace, lines, maps=maps).probabilities
    mirrored = fft2c(reversed_about_the_centre(ifft2c(kspace)))
    other = segment_volume(
        network, mirrored, reversed_about_the_centre(lines), maps=reversed_about_the_centre(maps)
    ).probabilities
    torch.testing.assert_close(received, (plain + reversed_about_the_centre(other)) / 2, rtol=0, atol=1e-5)


def test_every_slice_has_the_sensitivities_of_its_own(
    network: SERANet, coil_scan: tuple[Tensor, Tensor, Tensor]
) -> None:
    images, maps, lines = coil_scan
    own = torch.cat([maps, maps.roll(2, 0), maps.roll(5, 0)], dim=1)
    together = segment_volume(network, coil_kspace(images, own), lines, maps=own)
    for index in range(3):
        part = slice(index, index + 1)
        alone = segment_volume(network, coil_kspace(images[part], own[:, part]), lines, maps=own[:, part])
        torch.testing.assert_close(together.images[:, part], alone.images, rtol=0, atol=1e-4)


def test_coils_without_what_they_need_are_refused(network: SERANet) -> None:
    kspace = torch.ones(2, 8, N_Y, N_X, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"^coil sensitivities: expected at least 8 x 8 samples around the"):
        segment_volume(network, kspace, torch.arange(N_X) % 2 == 0)
    message = (
        r"^coil sensitivities: expected \(coil, slice, y, x\) = \(8, 2, 12, 10\), received \(4, 2, 12, 10\)"
    )
    with pytest.raises(ValueError, match=message):
        segment_volume(network, kspace, torch.ones(N_X, dtype=torch.bool), maps=kspace[:, :4].movedim(1, 0))


@pytest.mark.parametrize("scale", [1e-17, 1e17])
def test_magnitudes_beyond_the_range_of_squares_are_refused(
    scale: float, network: SERANet, kspace: Tensor
) -> None:
    message = (
        r"^network: expected k-space whose largest magnitude lies between 1e-15 and 1e[+]15, received [\d.]+e"
    )
    with pytest.raises(ValueError, match=message):
        segment_volume(network, scale * kspace, torch.ones(N_X, dtype=torch.bool))


def test_results_that_are_not_finite_are_refused(network: SERANet, kspace: Tensor) -> None:
    broken = deepcopy(network)
    for parameter in broken.parameters():
        parameter.data *= 1e38
    with pytest.raises(ValueError, match=r"^network: expected finite probabilities, received NaN$"):
        segment_volume(broken, kspace, torch.ones(N_X, dtype=torch.bool))


def reversed_about_the_centre(image: Tensor) -> Tensor:
    """Every pixel at the index on the other side of n // 2, one by one."""
    n = image.shape[-1]
    return torch.stack([image[..., (2 * (n // 2) - index) % n] for index in range(n)], dim=-1)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("n_x", [10, 11])
@pytest.mark.parametrize("lines_alone", [True, False])
def test_flipping_changes_nothing_for_a_network_that_does_not_care_where(
    n_x: int, lines_alone: bool, kspace: Tensor
) -> None:
    segmenter = PixelNetwork().eval()
    wide = torch.cat([kspace, kspace], dim=-1)[..., :n_x].contiguous()
    generator = torch.Generator().manual_seed(2)
    mask = torch.rand((n_x,) if lines_alone else (N_SLICES, N_Y, n_x), generator=generator) < 0.5
    plain, flipped = (
        segment_volume(segmenter, wide, mask, InferenceOptions(flip=each)) for each in (False, True)
    )
    torch.testing.assert_close(flipped.probabilities, plain.probabilities, rtol=0, atol=2e-6)
    torch.testing.assert_close(flipped.images, plain.images, rtol=0, atol=2e-6)


@pytest.mark.usefixtures("seeded")
def test_what_a_network_says_of_the_mirrored_scan_is_mirrored_back(kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    plain, flipped = (
        segment_volume(LeftNetwork().eval(), kspace, mask, InferenceOptions(flip=each)).probabilities
        for each in (False, True)
    )
    torch.testing.assert_close(flipped, (plain + reversed_about_the_centre(plain)) / 2)
    # Index 0 of an even axis is its own mirror image.
    torch.testing.assert_close(flipped[..., 0], plain[..., 0])
    torch.testing.assert_close(flipped[..., 1], (plain[..., 1] + plain[..., -1]) / 2)


def test_flipping_averages_over_the_scan_of_the_mirrored_head(network: SERANet, kspace: Tensor) -> None:
    mask = torch.rand((N_SLICES, N_X), generator=torch.Generator().manual_seed(2)) < 0.6
    mirrored_kspace = fft2c(reversed_about_the_centre(ifft2c(kspace)))
    mirrored_mask = reversed_about_the_centre(mask)
    received = segment_volume(
        network, kspace, mask, InferenceOptions(flip=True), all_passes=True
    ).probabilities
    plain = segment_volume(network, kspace, mask, all_passes=True).probabilities
    other = segment_volume(network, mirrored_kspace, mirrored_mask, all_passes=True).probabilities
    expected = (plain + reversed_about_the_centre(other)) / 2
    torch.testing.assert_close(received, expected, rtol=0, atol=1e-6)
    assert (received - plain).abs().max() > 1e-3
    torch.testing.assert_close(received.sum(2), torch.ones(3, N_SLICES, N_Y, N_X))


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("flip", [False, True])
def test_temperature_divides_the_logits_of_what_is_returned(flip: bool, kspace: Tensor) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)
    plain, warm = (
        segment_volume(LeftNetwork().eval(), kspace, mask, InferenceOptions(flip, each)).probabilities
        for each in (1.0, 2.0)
    )
    expected = plain.sqrt() / plain.sqrt().sum(2, keepdim=True)
    torch.testing.assert_close(warm, expected)
    assert torch.equal(warm.argmax(2), plain.argmax(2))
    assert (warm.amax(2) <= plain.amax(2)).all()


def test_precision_is_that_of_the_convolutions(network: SERANet, kspace: Tensor, monkeypatch) -> None:
    mask = torch.ones(N_X, dtype=torch.bool)

    def probabilities(precision: str) -> Tensor:
        return segment_volume(network, kspace, mask, InferenceOptions(precision=precision)).probabilities

    exact, rounded = probabilities("float32"), probabilities("bfloat16")
    assert exact.dtype == rounded.dtype == torch.float32
    assert 1e-5 < (rounded - exact).abs().max() < 0.05
    for chosen, expected in ((torch.float32, exact), (torch.bfloat16, rounded)):
        monkeypatch.setattr(segmentation, "inference_dtype", lambda _, chosen=chosen: chosen)
        assert torch.equal(probabilities("auto"), expected)
