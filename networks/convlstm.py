"""Convolutional LSTM: memory with a spatial extent."""

import torch
from torch import Tensor, nn


class ConvLSTMCell(nn.Module):
    """One step of a convolutional LSTM without peepholes.

    i, f, o = sigmoid, g = tanh of one convolution over input and hidden state; c' = f c + i g;
    h' = o tanh(c'). The forget gate starts open (bias 1), so that gradients pass through the steps.

    Args:
        n_in: input channels.
        n_hidden: channels of the hidden and of the cell state.

    Reference:
        Shi et al., Convolutional LSTM network, 2015, Eq. 3.
    """

    def __init__(self, n_in: int, n_hidden: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(n_in + n_hidden, 4 * n_hidden, 3, padding=1)
        assert self.gates.bias is not None
        with torch.no_grad():
            self.gates.bias.zero_()
            self.gates.bias[n_hidden : 2 * n_hidden] = 1.0

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Advance by one step.

        Args:
            x: input, `(batch, n_in, y, x)`.
            state: hidden and cell state `(batch, n_hidden, y, x)` of the step before; None at the first.

        Returns:
            New hidden and cell state; the hidden state is the output.
        """
        if state is None:
            zeros = torch.zeros_like(x[:, :1]).expand(-1, self.gates.out_channels // 4, -1, -1)
            state = (zeros, zeros)
        hidden, cell = state
        input_gate, forget_gate, output_gate, candidate = self.gates(torch.cat([x, hidden], dim=1)).chunk(
            4, dim=1
        )
        cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
        hidden = torch.sigmoid(output_gate) * torch.tanh(cell)
        return hidden, cell
