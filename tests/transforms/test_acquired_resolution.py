import pytest
import torch

from kseg.transforms.acquired_resolution import acquired_window
from kseg.transforms.fourier import fft2c, ifft2c


def test_everything_is_acquired_where_voxels_are_small_enough():
    assert (acquired_window((9, 8), (0.7, 0.7), 0.7) == 1).all()
    assert (acquired_window((9, 8), (0.7, 0.7), 0.5) == 1).all()


@pytest.mark.parametrize("n", [40, 41])
def test_the_rest_is_0_and_the_centre_is_1(n: int):
    window = acquired_window((n, 1), (0.5, 2.0), 1.0)[:, 0]
    acquired = torch.nonzero(window).flatten()
    assert n // 2 - n // 4 - 1 <= acquired[0] <= n // 2 - n // 4 + 1
    assert window[n // 2] == 1
    assert (window[n // 2 - 6 : n // 2 + 7] == 1).all()
    torch.testing.assert_close(window[n // 2 :][:10], window[: n // 2 + 1].flip(0)[:10])


def test_a_coarse_image_is_not_changed_but_a_fine_one_loses_its_detail():
    window = acquired_window((64, 64), (0.7, 0.7), 1.4)
    y = torch.arange(64)[:, None].float()
    for cycles, kept in ((4, 1.0), (11, 1.0), (20, 0.0)):
        wave = torch.cos(2 * torch.pi * cycles * y / 64).expand(64, 64).to(torch.complex64)
        filtered = ifft2c(fft2c(wave) * window)
        torch.testing.assert_close(filtered, kept * wave, atol=1e-5, rtol=0)


def test_a_size_of_nothing_is_refused():
    message = "^acquired resolution: expected voxels above 0 mm, received 0.0$"
    with pytest.raises(ValueError, match=message):
        acquired_window((8, 8), (1.0, 1.0), 0.0)
