"""What all networks have in common that segment k-space: an unrolled reconstruction, and a door that is checked."""

from typing import Any

import torch
from torch import Tensor, nn

from kseg.networks.consistency import DataConsistency
from kseg.networks.normalization import neighbour_images, normalize_scan, restore_scale
from kseg.networks.regularizers import regularization_block


class UnrolledReconstruction(nn.Module):
    """Regularisation blocks, each followed by data consistency, each on the output of the one before.

    Args:
        n_blocks: number of blocks; 0 returns the image unchanged.
        block: `cascade` or `autoencoder`.
        n_filters: width of each block.
        consistency_weight: None for hard data consistency, else the initial weight of the soft one.
        norm: one of `NORMALIZATIONS`; cascades have none.
    """

    def __init__(
        self,
        n_blocks: int,
        block: str,
        n_filters: int,
        consistency_weight: float | None,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        # Any, since of the modules of a list type checkers know no method but forward.
        self.blocks: Any = nn.ModuleList(
            regularization_block(block, 2, n_filters, norm) for _ in range(n_blocks)
        )
        self.consistency = nn.ModuleList(DataConsistency(consistency_weight) for _ in range(n_blocks))

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """Image `(batch, 2, y, x)` after all blocks; arguments as `DataConsistency.forward`."""
        for block, consistency in zip(self.blocks, self.consistency):  # noqa: B905 (scripting knows no strict)
            image = consistency(block(image, image), kspace, mask, maps)
        return image


class KSpaceSegmenter(nn.Module):
    """Network that reconstructs images from k-space and segments them in one or several passes.

    Its weights see images alone, so that one network takes the scan of any number of coils: the channels of a call
    say how many there are. More than one needs their sensitivities, and data consistency is that of each coil.

    Args:
        reconstruction: makes the image of the first pass.
        n_neighbours: slices on each side that the network sees besides its own.
    """

    def __init__(self, reconstruction: UnrolledReconstruction, n_neighbours: int = 0) -> None:
        super().__init__()
        self.reconstruction = reconstruction
        self.n_neighbours = n_neighbours

    def forward(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Segment k-space.

        Args:
            x: real parts of the coils, imaginary parts, sampling mask: `(batch, 2 coil + 1, y, x)`, float32; with
                neighbours, real and imaginary parts of the coils of each behind them, see `slices_input`.
            maps: sensitivities, real then imaginary parts, `(batch, 2 coil, y, x)`, with sum |s|^2 = 1.

        Returns:
            Logits of the last pass, `(batch, class, y, x)`.

        Raises:
            ValueError: channels that are those of no number of coils, sensitivities that are missing or of others.
        """
        return self.unroll(x, maps)[1][-1]

    def unroll(self, x: Tensor, maps: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Segment k-space and keep every intermediate result; arguments as `forward`.

        Returns:
            Images `(batch, 2, y, x)`, normalised, and logits `(batch, class, y, x)`, of each pass.
        """
        raise NotImplementedError

    @torch.jit.export
    def reconstruct(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Image `(batch, 2, y, x)` of the first pass, in the unit and phase of the scan; arguments as `forward`."""
        self._check(x, maps)
        kspace, mask, image, factor = normalize_scan(self.own_scan(x), maps)
        return restore_scale(self.reconstruction(image, kspace, mask, maps), factor)

    def own_scan(self, x: Tensor) -> Tensor:
        """Channels of the slice that is segmented, `(batch, 2 coil + 1, y, x)`; the others are its neighbours'."""
        return x[:, : 2 * self._coils(x) + 1]

    def _neighbours(self, x: Tensor, maps: Tensor | None, factor: Tensor) -> Tensor | None:
        """Images of the neighbours `(batch, 4 neighbours, y, x)`, or None; arguments as `neighbour_images`."""
        if self.n_neighbours == 0:
            return None
        n_coils = self._coils(x)
        return neighbour_images(x[:, 2 * n_coils + 1 :], n_coils, factor, maps)

    def _coils(self, x: Tensor) -> int:
        """Receive coils of a scan; arguments as `forward`."""
        return (x.shape[1] - 1) // (2 + 4 * self.n_neighbours)

    def _check(self, x: Tensor, maps: Tensor | None) -> None:
        of_coil = 2 + 4 * self.n_neighbours
        if x.ndim != 4 or x.shape[1] <= of_coil or (x.shape[1] - 1) % of_coil != 0:
            others = f" with {self.n_neighbours} neighbours on each side" if self.n_neighbours else ""
            raise ValueError(
                f"network: expected (batch, {of_coil} coil + 1, y, x){others}, received {list(x.shape)}"
            )
        n_coils = self._coils(x)
        if maps is None and n_coils > 1:
            raise ValueError(f"network: expected sensitivities of {n_coils} coils, received none")
        of_scan = [x.shape[0], 2 * n_coils, x.shape[2], x.shape[3]]
        if maps is not None and list(maps.shape) != of_scan:
            raise ValueError(f"network: expected sensitivities {of_scan}, received {list(maps.shape)}")


def beside(features: Tensor, neighbours: Tensor | None) -> Tensor:
    """Channels of the neighbours behind those of the slice, where it has any."""
    return features if neighbours is None else torch.cat([features, neighbours], dim=1)
