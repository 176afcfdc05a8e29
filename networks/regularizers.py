"""Regularisation blocks: the learned prior between two data-consistency layers."""

from torch import Tensor, nn

from kseg.networks.encoder_decoder import Decoder, Encoder, pad_to_multiple


class CascadeBlock(nn.Module):
    """Type A: a chain of convolutions that predicts a correction of the image.

    The last convolution starts at zero, so an untrained block returns the image unchanged and a chain of
    blocks has a clear gradient path.

    Args:
        n_in: input channels; 2 for an image, 2 x classes for an image split by attention.
        n_filters: channels between the convolutions.
        n_convolutions: number of convolutions, 2 or more.

    Reference:
        Schlemper et al., A deep cascade of convolutional neural networks for MR image reconstruction, 2017.
    """

    def __init__(self, n_in: int = 2, n_filters: int = 64, n_convolutions: int = 5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_from in (n_in, *[n_filters] * (n_convolutions - 2)):
            layers += [nn.Conv2d(n_from, n_filters, 3, padding=1), nn.ReLU(inplace=True)]
        self.correction = nn.Sequential(*layers, _zero_convolution(n_filters, kernel=3))

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Corrected image.

        Args:
            features: what the correction is predicted from, `(batch, n_in, y, x)`.
            image: the image to correct, `(batch, 2, y, x)`.
        """
        correction: Tensor = self.correction(features)
        return image + correction

    def encode(self, features: Tensor) -> list[Tensor]:
        """Features behind each rectifier, `(batch, n_filters, y, x)`; argument as `forward`."""
        encoded: list[Tensor] = []
        for index, layer in enumerate(self.correction):
            if index < len(self.correction) - 1:
                features = layer(features)
                if index % 2 == 1:
                    encoded.append(features)
        return encoded

    def decode(self, encoded: list[Tensor], image: Tensor) -> Tensor:
        """Corrected image from what `encode` gives; the two are `forward`."""
        correction: Tensor = self.correction[-1](encoded[-1])
        return image + correction


class AutoEncoderBlock(nn.Module):
    """Type B: an encoder and a decoder with skip connections that predict a correction of the image.

    Args:
        n_in: input channels; 2 for an image, 2 x classes for an image split by attention.
        n_filters: channels of the finest of three levels; they double from level to level.
        norm: one of `NORMALIZATIONS`.

    Reference:
        Sun et al., Joint CS-MRI reconstruction and segmentation with a unified deep network, 2018.
    """

    def __init__(self, n_in: int = 2, n_filters: int = 64, norm: str = "batch") -> None:
        super().__init__()
        channels = (n_filters, 2 * n_filters, 4 * n_filters)
        self.encoder = Encoder(n_in, channels, norm=norm)
        self.decoder = Decoder(channels, n_filters, norm=norm)
        self.correction = _zero_convolution(n_filters, kernel=1)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Corrected image; arguments as `CascadeBlock.forward`."""
        return self.decode(self.encode(features), image)

    def encode(self, features: Tensor) -> list[Tensor]:
        """Features of each level, finest first, y and x padded to multiples of 4; argument as `forward`."""
        encoded: list[Tensor] = self.encoder(pad_to_multiple(features, 4))
        return encoded

    def decode(self, encoded: list[Tensor], image: Tensor) -> Tensor:
        """Corrected image from what `encode` gives; the two are `forward`."""
        n_y, n_x = image.shape[-2], image.shape[-1]
        correction: Tensor = self.correction(self.decoder(encoded))[:, :, :n_y, :n_x]
        return image + correction


def regularization_block(kind: str, n_in: int, n_filters: int, norm: str = "batch") -> nn.Module:
    """Make a block by name.

    Args:
        kind: `cascade` (type A) or `autoencoder` (type B).
        n_in: input channels.
        n_filters: width of the block.
        norm: one of `NORMALIZATIONS`; a cascade has none.

    Raises:
        ValueError: another name.
    """
    if kind == "cascade":
        return CascadeBlock(n_in, n_filters)
    if kind == "autoencoder":
        return AutoEncoderBlock(n_in, n_filters, norm)
    raise ValueError(f"regularisation block: expected cascade or autoencoder, received {kind!r}")


def _zero_convolution(n_in: int, kernel: int) -> nn.Conv2d:
    convolution = nn.Conv2d(n_in, 2, kernel, padding=kernel // 2)
    nn.init.zeros_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution
