"""The segmenter: a U-Net that remembers what it saw in the recurrences before."""

import torch
from torch import Tensor, nn

from kseg.networks.convlstm import ConvLSTMCell
from kseg.networks.encoder_decoder import Decoder, Encoder, pad_to_multiple

State = tuple[Tensor, Tensor]


class RecurrentUNet(nn.Module):
    """U-Net with a convolutional LSTM at its coarsest level.

    The LSTM adds its output to the features that enter it, in the first pass too: there it makes one step from an
    empty memory, so that without recurrences the network is a U-Net and that step.

    Args:
        n_in: input channels.
        n_out: output channels (classes).
        channels: channels of each level, finest first.
        norm: one of `NORMALIZATIONS`.

    Reference:
        Huang et al., End-to-end segmentation with recurrent attention neural network, Sections 3.2 and 3.3.
    """

    def __init__(
        self, n_in: int, n_out: int, channels: tuple[int, ...] = (32, 64, 128, 256), norm: str = "batch"
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(channels) - 1)
        self.encoder = Encoder(n_in, channels, norm=norm)
        self.memory = ConvLSTMCell(channels[-1], channels[-1])
        self.decoder = Decoder(channels, n_out, norm=norm)

    def forward(self, image: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, State]:
        """Segment an image.

        Args:
            image: `(batch, n_in, y, x)`, any y and x.
            state: memory of the recurrence before; None at the first.

        Returns:
            Logits `(batch, n_out, y, x)`, float32, and the memory for the next recurrence.
        """
        n_y, n_x = image.shape[-2], image.shape[-1]
        features = self.encoder(pad_to_multiple(image, self.multiple))
        new_state = self.memory(features[-1], state)
        features[-1] = features[-1] + new_state[0]
        logits = self.decoder(features)[:, :, :n_y, :n_x]
        return logits.to(torch.float32), new_state
