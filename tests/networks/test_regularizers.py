import pytest
import torch
from torch import Tensor, nn

from kseg.networks.regularizers import AutoEncoderBlock, CascadeBlock, regularization_block

KINDS = ["cascade", "autoencoder"]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
def test_an_untrained_block_returns_the_image(kind: str, shape: tuple[int, int], seeded: None):
    block, image = regularization_block(kind, 8, 4), noise(2, 2, *shape)
    assert torch.equal(block(noise(2, 8, *shape, seed=1), image), image)


@pytest.mark.parametrize("kind", KINDS)
def test_the_correction_comes_from_the_features_and_not_from_the_image(kind: str, seeded: None):
    block = regularization_block(kind, 8, 4).eval()
    for parameter in block.correction.parameters():
        nn.init.normal_(parameter)
    features, image = noise(2, 8, 7, 9), noise(2, 2, 7, 9, seed=1)
    correction = block(features, image) - image
    assert correction.shape == image.shape
    assert correction.abs().max() > 1e-3
    torch.testing.assert_close(block(features, 3 * image) - 3 * image, correction, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(block(features.flip(1), image) - image, correction, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
def test_encoded_and_decoded_is_corrected(kind: str, shape: tuple[int, int], seeded: None):
    block = regularization_block(kind, 8, 4).eval()
    for parameter in block.correction.parameters():
        nn.init.normal_(parameter, std=0.3)
    features, image = noise(2, 8, *shape), noise(2, 2, *shape, seed=1)
    encoded = block.encode(features)
    assert [values.shape[1] for values in encoded] == ([4] * 4 if kind == "cascade" else [4, 8, 16])
    assert all((values >= 0).all() and values.any() for values in encoded)
    assert torch.equal(block.decode(encoded, image), block(features, image))


def test_the_cascade_has_the_convolutions_it_was_asked_for(seeded: None):
    block = CascadeBlock(8, 6, n_convolutions=4)
    convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [
        (8, 6),
        (6, 6),
        (6, 6),
        (6, 2),
    ]


def test_the_auto_encoder_has_three_levels_that_double(seeded: None):
    block = AutoEncoderBlock(8, 4)
    assert [level[0].out_channels for level in block.encoder.levels] == [4, 8, 16]


def test_another_kind_is_refused():
    with pytest.raises(
        ValueError, match="regularisation block: expected cascade or autoencoder, received 'unet'"
    ):
        regularization_block("unet", 2, 4)
