"""Small scans and small networks whose every part matters."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from kseg.networks.seranet import SERANet
from kseg.transforms.channels import network_input
from kseg.transforms.coils import expand
from kseg.transforms.fourier import fft2c


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """These tensors are too small to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def complex_noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def noise() -> Callable[..., Tensor]:
    """Complex Gaussian noise of a shape and a seed."""
    return complex_noise


@pytest.fixture
def every_second_line() -> Callable[[int], Tensor]:
    """A mask of lines: the four in the centre and every second one."""

    def mask(n_x: int) -> Tensor:
        lines = torch.arange(n_x)
        return (lines % 2 == 0) | ((lines - n_x // 2).abs() <= 2)

    return mask


@pytest.fixture
def scan(every_second_line: Callable[[int], Tensor]) -> Callable[..., Tensor]:
    """Network input of an image (batch, 1, y, x): all coils, every second line or all of them."""

    def make(image: Tensor, maps: Tensor | None = None, full: bool = False) -> Tensor:
        coil_images = image if maps is None else expand(image[:, 0], maps)
        n_x = image.shape[-1]
        mask = torch.ones(n_x, dtype=torch.bool) if full else every_second_line(n_x)
        return network_input(fft2c(coil_images), mask)

    return make


@pytest.fixture
def maps() -> Tensor:
    """Sensitivities of eight coils, (1, coil, y, x), with sum |s|^2 = 1."""
    raw = complex_noise(1, 8, 12, 10, seed=5)
    return raw / torch.linalg.vector_norm(raw, dim=1, keepdim=True)


@pytest.fixture
def make_network(seeded: None) -> Callable[..., SERANet]:
    """A small SERANet in evaluation mode; corrections, which start at zero, are given random weights."""

    def make(untrained: bool = False, **changes: object) -> SERANet:
        settings = {"n_blocks": 2, "n_recurrences": 2, "n_filters": 4, "unet_channels": (4, 8), **changes}
        network = SERANet(**settings)  # type: ignore[arg-type]
        for name, parameter in network.named_parameters():
            if not untrained and "correction" in name and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return network.eval()

    return make
