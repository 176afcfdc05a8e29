import math

import pytest
import torch

from kseg.transforms.fourier import ifft2c
from kseg.transforms.noise import add_noise, noise_sigma
from kseg.transforms.sampling import gaussian_lines
from kseg.transforms.sequences import InversionRecovery, SpinEcho
from kseg.transforms.tissues import Tissue, load_tissue_table

SIGMA = 0.3
TISSUES = load_tissue_table("1.5T")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_image(n_slices: int = 20) -> torch.Tensor:
    return ifft2c(add_noise(torch.zeros(n_slices, 1, 216, 180, dtype=torch.complex64), SIGMA, generator()))


def test_sigma_is_the_deviation_of_real_and_imaginary_part_in_both_spaces():
    kspace = add_noise(torch.zeros(20, 1, 216, 180, dtype=torch.complex64), SIGMA, generator())
    for data in (kspace, ifft2c(kspace)):
        assert float(data.real.std()) == pytest.approx(SIGMA, rel=0.005)
        assert float(data.imag.std()) == pytest.approx(SIGMA, rel=0.005)
        assert abs(complex(data.mean())) < 0.002
        assert abs(float((data.real * data.imag).mean())) < 0.002 * SIGMA


def test_air_is_rayleigh_distributed():
    magnitude = noise_image().abs()
    assert float(magnitude.mean()) == pytest.approx(1.2533 * SIGMA, rel=0.003)
    assert float(magnitude.std()) == pytest.approx(0.655 * SIGMA, rel=0.005)
    assert math.sqrt(math.pi / 2) == pytest.approx(1.2533, abs=1e-4)
    assert math.sqrt(2 - math.pi / 2) == pytest.approx(0.655, abs=5e-4)


def test_noise_in_one_part_only_would_be_seen():
    one_part = torch.randn(20, 216, 180, generator=generator()) * SIGMA * math.sqrt(2)
    assert float(one_part.abs().mean()) != pytest.approx(1.2533 * SIGMA, rel=0.05)


def test_zero_filling_leaves_the_sampled_share_of_the_variance():
    mask = gaussian_lines(180, 54, 16, generator())
    kspace = add_noise(torch.zeros(20, 1, 216, 180, dtype=torch.complex64), SIGMA, generator())
    image = ifft2c(kspace * mask)
    assert float(image.real.std()) == pytest.approx(math.sqrt(0.3) * SIGMA, rel=0.005)
    assert float(ifft2c(kspace).real.std()) != pytest.approx(math.sqrt(0.3) * SIGMA, rel=0.2)


def test_noise_adds_to_the_signal_and_comes_from_the_generator_alone():
    kspace = torch.randn(3, 2, 8, 6, dtype=torch.complex64, generator=generator())
    noise = add_noise(torch.zeros_like(kspace), SIGMA, generator(1))
    kept = kspace.clone()
    assert torch.allclose(add_noise(kspace, SIGMA, generator(1)), kspace + noise)
    assert torch.equal(kspace, kept)
    assert torch.equal(add_noise(kspace, 0.0, generator(1)), kspace)
    assert not torch.allclose(add_noise(kspace, SIGMA, generator(2)), kspace + noise)
    assert add_noise(kspace, SIGMA, generator()).dtype == torch.complex64


def test_noise_comes_to_the_device_of_the_kspace():
    kspace = torch.zeros(3, 2, dtype=torch.complex64, device="meta")
    assert add_noise(kspace, SIGMA, generator()).device == kspace.device


@pytest.mark.parametrize("tissue", ["csf", "gm", "wm"])
def test_a_level_may_refer_to_the_signal_of_a_tissue(tissue: str):
    signal = float(SpinEcho().signal([TISSUES[tissue]]))
    assert noise_sigma(0.1, tissue, sequence=SpinEcho(), tissues=TISSUES) == pytest.approx(0.1 * signal)


def test_a_negative_signal_gives_a_positive_sigma():
    inverted = InversionRecovery(ti=0.05)
    assert float(inverted.signal([TISSUES["csf"]])) < 0
    assert noise_sigma(0.1, "csf", sequence=inverted, tissues=TISSUES) > 0


def test_a_level_may_refer_to_the_image_or_to_nothing():
    image = torch.tensor([3.0, -4.0j, 0.0])
    assert noise_sigma(0.1, "image_max", sequence=SpinEcho(), tissues={}, image=image) == pytest.approx(0.4)
    rms = math.sqrt(25 / 3)
    assert noise_sigma(0.1, "rms", sequence=SpinEcho(), tissues={}, image=image) == pytest.approx(0.1 * rms)
    assert noise_sigma(0.1, "absolute", sequence=SpinEcho(), tissues={}) == 0.1


@pytest.mark.parametrize("level", [-0.1, math.nan])
def test_a_negative_level_is_refused(level: float):
    with pytest.raises(ValueError, match="noise level: expected 0 or more, received"):
        noise_sigma(level, "csf", sequence=SpinEcho(), tissues=TISSUES)


@pytest.mark.parametrize("reference", ["image_max", "rms"])
def test_a_missing_image_is_named(reference: str):
    with pytest.raises(
        ValueError, match=f"noise level: expected an image for the reference '{reference}', received none"
    ):
        noise_sigma(0.1, reference, sequence=SpinEcho(), tissues=TISSUES)


def test_an_unknown_reference_is_named():
    with pytest.raises(
        ValueError, match=r"noise level: expected a reference out of csf, gm, .*, received 'fat'"
    ):
        noise_sigma(0.1, "fat", sequence=SpinEcho(), tissues=TISSUES, image=torch.ones(2))


def test_a_table_without_the_tissue_is_named():
    only_gm = {"gm": Tissue(pd=1.0, t1=1.0, t2=0.1, t2_star=0.1)}
    with pytest.raises(ValueError, match="tissue table: expected entries for csf, received none for csf"):
        noise_sigma(0.1, "csf", sequence=SpinEcho(), tissues=only_gm)
