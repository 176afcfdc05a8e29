import pytest
import torch
from torch import Tensor

from kseg.transforms.coils import combine, expand, root_sum_of_squares
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.testing import assert_adjoint, assert_isometry, assert_round_trip

SHAPES = [(8, 8), (7, 7), (7, 6), (6, 5)]


def random_maps(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


def normalised(maps: Tensor) -> Tensor:
    return maps / torch.linalg.vector_norm(maps, dim=-3, keepdim=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_coils", [1, 3])
def test_combination_is_the_adjoint_of_expansion(shape: tuple[int, int], n_coils: int):
    maps = random_maps(n_coils, *shape)
    assert_adjoint(lambda x: expand(x, maps), lambda y: combine(y, maps), shape, (n_coils, *shape))


@pytest.mark.parametrize("shape", [(8, 8), (7, 6)])
def test_combination_without_the_conjugate_is_not(shape: tuple[int, int]):
    maps = random_maps(3, *shape)
    with pytest.raises(AssertionError, match="adjoint: expected"):
        assert_adjoint(lambda x: expand(x, maps), lambda y: (y * maps).sum(-3), shape, (3, *shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_encoding_of_a_scan_has_its_adjoint(shape: tuple[int, int]):
    maps = random_maps(3, *shape)
    mask = torch.arange(shape[1]) % 3 != 1
    assert_adjoint(
        lambda x: mask * fft2c(expand(x, maps)), lambda k: combine(ifft2c(mask * k), maps), shape, (3, *shape)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_normalised_maps_make_expansion_an_isometry_that_combination_inverts(shape: tuple[int, int]):
    maps = normalised(random_maps(4, *shape))
    assert_isometry(lambda x: expand(x, maps), shape, (4, *shape))
    assert_round_trip(
        lambda x: expand(x, maps), lambda y: combine(y, maps), random_maps(*shape), tolerance=1e-6
    )
    sense = combine(ifft2c(fft2c(expand(random_maps(*shape), maps))), maps)
    assert torch.allclose(sense, random_maps(*shape), atol=1e-5)


def test_root_sum_of_squares_of_an_expanded_image_is_its_magnitude():
    image, maps = random_maps(2, 7, 6), normalised(random_maps(4, 7, 6))
    magnitude = root_sum_of_squares(expand(image, maps))
    assert magnitude.dtype == torch.float32
    assert torch.allclose(magnitude, image.abs(), atol=1e-6)


def test_each_slice_has_its_own_maps_or_shares_one_set():
    images, maps = random_maps(2, 7, 6), random_maps(2, 3, 7, 6)
    coil_images = expand(images, maps)
    assert coil_images.shape == (2, 3, 7, 6)
    assert torch.equal(coil_images[1, 2], images[1] * maps[1, 2])
    assert torch.equal(expand(images, maps[:1])[1], expand(images[1], maps[0]))
    assert torch.allclose(combine(coil_images, maps[:1])[1], combine(coil_images[1], maps[0]))


@pytest.mark.parametrize("function", [expand, combine])
def test_grids_that_differ_are_refused(function):
    name = "image" if function is expand else "coil images"
    with pytest.raises(
        ValueError, match=rf"coils: expected {name} and maps on one \(y, x\) grid, received .4, 5. and .5, 4."
    ):
        function(random_maps(3, 4, 5), random_maps(3, 5, 4))


@pytest.mark.parametrize("n_maps", [1, 2, 9])
def test_images_of_other_coils_than_the_maps_are_refused(n_maps: int):
    message = rf"^coils: expected as many coil images as maps, received 8 and {n_maps}$"
    with pytest.raises(ValueError, match=message):
        combine(random_maps(5, 8, 4, 5), random_maps(n_maps, 4, 5))
