"""The network in the two forms that other tools run."""

import logging
import warnings

import pytest
import torch
from torch import nn

from kseg.transforms.channels import complex_to_channels

BLOCKS = ["cascade", "autoencoder"]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n_recurrences", [0, 2])
def test_scripted_is_eager(block, n_recurrences, make_network, scan, noise, maps):
    network = make_network(block=block, n_recurrences=n_recurrences, n_coils=8)
    scripted = torch.jit.script(network)
    x, channels = scan(noise(1, 1, 12, 10), maps), complex_to_channels(maps)
    torch.testing.assert_close(scripted(x, channels), network(x, channels), rtol=1e-5, atol=1e-5)


def test_scripted_takes_any_size(make_network, scan, noise):
    network = make_network(consistency_weight=0.7)
    scripted = torch.jit.script(network)
    for shape in ((12, 10), (7, 9)):
        x = scan(noise(2, 1, *shape))
        torch.testing.assert_close(scripted(x), network(x), rtol=1e-5, atol=1e-5)
