import math

import pytest
import torch
from torch import Tensor

from kseg.networks.consistency import DataConsistency
from kseg.transforms.channels import channels_to_complex, complex_to_channels
from kseg.transforms.coils import expand
from kseg.transforms.fourier import fft2c, ifft2c

SHAPES = [(8, 8), (7, 6), (6, 9)]


def measurement(image: Tensor, mask: Tensor) -> Tensor:
    return complex_to_channels(fft2c(image)) * mask


@pytest.mark.parametrize("shape", SHAPES)
def test_measured_samples_are_kept_and_the_others_are_those_of_the_image(shape, noise, every_second_line):
    truth, estimate = noise(2, 1, *shape), noise(2, 1, *shape, seed=1)
    mask = every_second_line(shape[1]).float().expand(2, 1, *shape)
    corrected = DataConsistency()(complex_to_channels(estimate), measurement(truth, mask), mask)
    kspace = fft2c(channels_to_complex(corrected))
    expected = torch.where(mask.bool(), fft2c(truth), fft2c(estimate))
    assert (kspace - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("weight", [None, 0.3])
def test_a_perfect_image_is_left_alone(weight, noise, every_second_line):
    truth, mask = noise(1, 1, 7, 10), every_second_line(10).float().expand(1, 1, 7, 10)
    image = complex_to_channels(truth)
    corrected = DataConsistency(weight)(image, measurement(truth, mask), mask)
    assert (corrected - image).abs().max() <= 1e-6 * image.abs().max()


@pytest.mark.parametrize("weight", [0.01, 0.3, 0.7, 0.99])
def test_soft_consistency_mixes_at_the_samples_by_its_weight(weight, noise, every_second_line):
    truth, estimate = fft2c(noise(1, 1, 7, 10)), fft2c(noise(1, 1, 7, 10, seed=1))
    mask = every_second_line(10).float().expand(1, 1, 7, 10)
    soft = DataConsistency(weight)
    kspace = soft.coil_kspace(complex_to_channels(ifft2c(estimate)), complex_to_channels(truth) * mask, mask)
    expected = torch.where(mask.bool(), (1 - weight) * estimate + weight * truth, estimate)
    torch.testing.assert_close(kspace, expected, rtol=1e-5, atol=1e-5)
    assert soft.logit is not None
    assert soft.logit.item() == pytest.approx(math.log(weight / (1 - weight)))


@pytest.mark.parametrize(("logit", "hard"), [(40.0, True), (-100.0, False)])
def test_the_limits_of_soft_consistency_are_hard_and_none(logit, hard, noise, every_second_line):
    truth, estimate = noise(1, 1, 7, 10), complex_to_channels(noise(1, 1, 7, 10, seed=1))
    mask = every_second_line(10).float().expand(1, 1, 7, 10)
    soft = DataConsistency(0.5)
    assert soft.logit is not None
    torch.nn.init.constant_(soft.logit, logit)
    kspace = measurement(truth, mask)
    expected = DataConsistency()(estimate, kspace, mask) if hard else estimate
    torch.testing.assert_close(soft(estimate, kspace, mask), expected, rtol=1e-5, atol=1e-5)


def test_every_coil_keeps_its_samples(noise, maps, every_second_line):
    truth, estimate = noise(2, 12, 10), noise(2, 1, 12, 10, seed=1)
    mask = every_second_line(10).float().expand(2, 1, 12, 10)
    both = maps.expand(2, -1, -1, -1)
    measured = fft2c(expand(truth, both))
    arguments = (complex_to_channels(measured) * mask, mask, complex_to_channels(both))
    kspace = DataConsistency().coil_kspace(complex_to_channels(estimate), *arguments)
    expected = torch.where(mask.bool(), measured, fft2c(expand(estimate[:, 0], both)))
    assert (kspace - expected).abs().max() <= 1e-6 * expected.abs().max()
    combined = (ifft2c(expected) * both.conj()).sum(1, keepdim=True)
    corrected = DataConsistency()(complex_to_channels(estimate), *arguments)
    torch.testing.assert_close(corrected, complex_to_channels(combined), rtol=1e-5, atol=1e-5)


def test_a_perfect_image_of_many_coils_is_left_alone(noise, maps, every_second_line):
    truth, mask = noise(1, 1, 12, 10), every_second_line(10).float().expand(1, 1, 12, 10)
    kspace = complex_to_channels(fft2c(expand(truth[:, 0], maps))) * mask
    image = complex_to_channels(truth)
    corrected = DataConsistency()(image, kspace, mask, complex_to_channels(maps))
    torch.testing.assert_close(corrected, image, rtol=1e-5, atol=2e-6)


def test_one_coil_is_the_case_of_one_map_that_is_one(noise, every_second_line):
    truth, image = noise(1, 1, 7, 10), complex_to_channels(noise(1, 1, 7, 10, seed=1))
    mask = every_second_line(10).float().expand(1, 1, 7, 10)
    arguments = (image, measurement(truth, mask), mask)
    one = complex_to_channels(torch.ones(1, 1, 7, 10, dtype=torch.complex64))
    torch.testing.assert_close(DataConsistency()(*arguments, one), DataConsistency()(*arguments))


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(
        ValueError, match=rf"data consistency: expected None or a weight in \(0, 1\), received {weight}"
    ):
        DataConsistency(weight)
