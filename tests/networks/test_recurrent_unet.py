import pytest
import torch
from torch import Tensor

from kseg.networks.encoder_decoder import NORMALIZATIONS, Decoder, Encoder
from kseg.networks.recurrent_unet import RecurrentUNet


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_without_what_the_memory_adds_it_is_a_plain_u_net(seeded: None):
    network = RecurrentUNet(2, 4, (4, 8)).eval()
    x = image(1, 2, 8, 12)
    plain = network.decoder(network.encoder(x))
    assert isinstance(network.encoder, Encoder)
    assert isinstance(network.decoder, Decoder)
    # It adds to the first pass too.
    assert not torch.allclose(network(x)[0], plain, atol=1e-5)
    torch.nn.init.constant_(network.memory.gates.bias, -100.0)
    torch.testing.assert_close(network(x)[0], plain)


def test_the_memory_adds_its_hidden_state_to_the_coarsest_features(seeded: None):
    network = RecurrentUNet(2, 4, (4, 8)).eval()
    x = image(1, 2, 8, 12)
    _, state = network(x)
    logits, later = network(x, state)
    features = network.encoder(x)
    features[-1] = features[-1] + later[0]
    torch.testing.assert_close(logits, network.decoder(features))
    assert state[0].shape == state[1].shape == (1, 8, 4, 6)
    assert not torch.allclose(logits, network(x)[0], atol=1e-5)


@pytest.mark.parametrize("norm", NORMALIZATIONS)
@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (1, 1), (13, 6)])
def test_any_size_comes_back_as_it_was(shape: tuple[int, int], norm: str, seeded: None):
    network = RecurrentUNet(2, 3, (4, 6, 8), norm).eval()
    logits, _ = network(image(2, 2, *shape))
    assert logits.shape == (2, 3, *shape)
    assert logits.isfinite().all()
