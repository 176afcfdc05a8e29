import pytest
import torch
from torch import Tensor, nn

from kseg.pipelines.sliding_inferer import SlidingInferer


class Brightness(nn.Module):
    """Logits of background and lesion: 0 and the first channel; x can be made to count."""

    def __init__(self, ramp: float = 0.0) -> None:
        super().__init__()
        self.ramp = ramp
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        first = x[:, :1] + self.ramp * torch.arange(x.shape[-1])
        return torch.cat([torch.zeros_like(first), first], 1)


def volume() -> Tensor:
    return torch.randn(1, 3, 7, 20, 18, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("roi_size", [(4, 8, 8), (0, 0, 0), (32, 32, 32)])
def test_windows_make_no_difference_to_what_looks_at_voxels_alone(roi_size: tuple[int, ...]) -> None:
    x = volume()
    probabilities = SlidingInferer(roi_size, temperature=2.0)(x, Brightness())
    assert torch.allclose(probabilities[:, 1], (x[:, 0] / 2).sigmoid(), atol=1e-6)
    assert torch.allclose(probabilities.sum(1), torch.ones(1, 7, 20, 18))


def test_flip_averages_with_the_mirrored_volume() -> None:
    x, network = volume(), Brightness(ramp=0.1)
    once, mirrored = (SlidingInferer((0, 0, 0))(each, network) for each in (x, x.flip(-1)))
    both = SlidingInferer((0, 0, 0), flip=True)(x, network)
    assert torch.allclose(both, (once + mirrored.flip(-1)) / 2)
    assert not torch.allclose(both, once, atol=0.01)
    assert torch.allclose(both, SlidingInferer((0, 0, 0), flip=True)(x.flip(-1), network).flip(-1))


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_temperature_is_that_of_the_average(temperature: float) -> None:
    network = Brightness(ramp=0.1)
    plain, other = (
        SlidingInferer((0, 0, 0), flip=True, temperature=t)(volume(), network) for t in (1.0, temperature)
    )
    powers = plain ** (1 / temperature)
    torch.testing.assert_close(other, powers / powers.sum(1, keepdim=True))
    assert torch.equal(other.argmax(1), plain.argmax(1))


@pytest.mark.usefixtures("seeded")
def test_bfloat16_is_that_of_the_convolutions() -> None:
    seen = []

    class Dtype(nn.Conv3d):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(super().forward(x).dtype)
            return Brightness()(x)

    network = Dtype(3, 2, 1).eval()
    with torch.inference_mode():
        for precision in ("float32", "bfloat16"):
            assert SlidingInferer((0, 0, 0), precision=precision)(volume(), network).dtype == torch.float32
    assert seen == [torch.float32, torch.bfloat16]


def test_what_it_does_not_take() -> None:
    inferer = SlidingInferer((0, 0, 0))
    with pytest.raises(
        ValueError, match=r"^sliding inferer: expected volumes alone, received 1 further arguments$"
    ):
        inferer(volume(), Brightness(), 1)
    with pytest.raises(ValueError, match=r"^network: expected finite results, received some that are not$"):
        inferer(volume() * float("nan"), Brightness())
    with pytest.raises(
        ValueError, match="expected a network in evaluation mode, received one in training mode"
    ):
        inferer(volume(), Brightness().train())
