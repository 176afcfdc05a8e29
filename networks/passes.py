"""What a loss sees of a network: modules that call it and return more than the logits of its last pass.

A trainer calls one of them in the place of the network; its weights are the network's own.
"""

from torch import Tensor, nn

from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.networks.normalization import normalize_scan, restore_scale


class EveryPass(nn.Module):
    """Logits of every pass, for deep supervision.

    Args:
        network: segments k-space.
    """

    def __init__(self, network: KSpaceSegmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits `(batch, class, y, x)` of the first pass to the last.

        Args:
            x: network input of one coil, `(batch, 3, y, x)`, or with more channels where the network has neighbours.
        """
        return self.network.unroll(x)[1]


class ReconstructionOf(nn.Module):
    """Image that a network reconstructs before it segments.

    Args:
        network: segments k-space.
    """

    def __init__(self, network: KSpaceSegmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Image `(batch, 2, y, x)` in the unit and phase of the scan; argument as `EveryPass.forward`."""
        return self.network.reconstruct(x)


class ReconstructionAndLogits(nn.Module):
    """Image and logits of the last pass, for networks that learn both.

    Args:
        network: segments k-space.
    """

    def __init__(self, network: KSpaceSegmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Image `(batch, 2, y, x)` in the unit and phase of the scan, and logits `(batch, class, y, x)`.

        Args:
            x: as `EveryPass.forward`.
        """
        images, logits = self.network.unroll(x)
        return restore_scale(images[-1], normalize_scan(self.network.own_scan(x))[3]), logits[-1]
