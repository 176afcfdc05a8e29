import pytest
import torch
from torch import Tensor

from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coil_preparation import MOST_COILS, prepare_coils
from kseg.transforms.coil_sensitivities import estimate_sensitivities
from kseg.transforms.coils import combine, expand
from kseg.transforms.fourier import fft2c, ifft2c

N_Y, N_X = 48, 40
EVERYTHING = torch.ones(2, 1, N_X, dtype=torch.bool)


@pytest.fixture
def image() -> Tensor:
    y, x = torch.linspace(-1, 1, N_Y)[:, None], torch.linspace(-1, 1, N_X)[None]
    head = 1.0 * ((y / 0.9) ** 2 + (x / 0.8) ** 2 < 1) + 0.5 * (y.square() + (x - 0.2).square() < 0.2)
    return torch.stack([head, head.flip(0)]).to(torch.complex64)


def scan(image: Tensor, n_coils: int) -> Tensor:
    maps = coil_maps(n_coils, (N_Y, N_X), torch.Generator().manual_seed(1))
    return fft2c(expand(image, maps.movedim(1, 0)))


def test_one_coil_needs_nothing(image):
    kspace = scan(image, 1)
    prepared = prepare_coils(kspace, EVERYTHING)
    assert prepared.kspace is kspace
    assert (prepared.maps, prepared.notes) == (None, ())


def test_few_coils_keep_their_samples(image):
    kspace = scan(image, 4)
    prepared = prepare_coils(kspace, EVERYTHING)
    assert torch.equal(prepared.kspace, kspace)
    assert prepared.maps is not None
    torch.testing.assert_close(prepared.maps, estimate_sensitivities(kspace, (slice(12, 36), slice(8, 32))))
    assert prepared.notes == ("sensitivities estimated from 24 x 24 central samples (y, x)",)


def test_many_coils_become_fewer_that_show_the_same(image):
    prepared = prepare_coils(scan(image, 20), EVERYTHING)
    assert prepared.kspace.shape == (2, MOST_COILS, N_Y, N_X)
    assert prepared.notes[0] == "20 coils compressed to 8"
    assert prepared.maps is not None
    combined = combine(ifft2c(prepared.kspace), prepared.maps.movedim(1, 0)).abs()
    assert torch.linalg.vector_norm(combined - image.abs()) < 0.02 * image.norm()


def test_what_lies_outside_the_mask_is_not_looked_at(image):
    mask = torch.zeros_like(EVERYTHING)
    mask[..., 10:30] = True
    kspace = scan(image, 12)
    dirty = kspace + 1e3 * ~mask[:, None]
    torch.testing.assert_close(prepare_coils(dirty, mask).kspace, prepare_coils(kspace, mask).kspace)


def test_known_sensitivities_are_scaled_and_kept(image):
    kspace = scan(image, 12)
    maps = coil_maps(12, (N_Y, N_X), torch.Generator().manual_seed(1))
    masked = 5 * maps * (image[:1].abs() > 0)
    prepared = prepare_coils(kspace, torch.zeros_like(EVERYTHING), masked)
    assert prepared.kspace is kspace
    assert prepared.notes == ("sensitivities as stored",)
    torch.testing.assert_close(prepared.maps, (maps * (image[:1].abs() > 0)).expand(-1, 2, -1, -1))


def test_sensitivities_of_another_scan_are_refused(image):
    message = (
        r"^coil sensitivities: expected \(coil, slice, y, x\) = \(3, 2, 48, 40\), received \(3, 3, 48, 40\)$"
    )
    with pytest.raises(ValueError, match=message):
        prepare_coils(scan(image, 3), EVERYTHING, torch.ones(3, 3, N_Y, N_X, dtype=torch.complex64))
