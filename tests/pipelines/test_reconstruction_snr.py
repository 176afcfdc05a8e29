import math

import pytest
import torch
from ignite.engine import Engine

from kseg.pipelines.reconstruction_snr import ReconstructionSNR

REFERENCE = torch.randn(4, 2, 6, 5, generator=torch.Generator().manual_seed(0))


def test_a_tenth_of_the_amplitude_is_twenty_decibels():
    metric = ReconstructionSNR()
    metric.update((1.1 * REFERENCE, REFERENCE))
    assert metric.compute() == pytest.approx(20, abs=1e-4)


def test_powers_are_added_before_their_ratio_is_taken():
    image = REFERENCE + torch.linspace(0.1, 0.9, 4)[:, None, None, None]
    together, parts = ReconstructionSNR(), ReconstructionSNR()
    together.update((image, REFERENCE))
    for few in (slice(0, 1), slice(1, 4)):
        parts.update((image[few], REFERENCE[few]))
    assert parts.compute() == pytest.approx(together.compute())
    expected = 10 * math.log10(REFERENCE.square().sum() / (image - REFERENCE).square().sum())
    assert together.compute() == pytest.approx(expected, abs=1e-5)
    parts.reset()
    assert math.isnan(parts.compute())


def test_without_error_it_is_infinite():
    metric = ReconstructionSNR()
    metric.update((REFERENCE, REFERENCE))
    assert metric.compute() == math.inf


def test_an_engine_feeds_it():
    engine = Engine(lambda _, reference: {"pred": 0.9 * reference, "label": reference})
    ReconstructionSNR().attach(engine, "snr")
    assert engine.run([REFERENCE[:1], REFERENCE[1:]]).metrics["snr"] == pytest.approx(20, abs=1e-4)
