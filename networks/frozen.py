"""Train a network while parts of it stay as they are."""

from collections.abc import Sequence

from torch import Tensor, nn


class FrozenParts(nn.Module):
    """Call a module while parts of its network are frozen.

    Their parameters take no gradient, and they stay in evaluation mode when the rest is trained: the statistics
    of their batch normalisation are neither used from the batch nor updated.

    Args:
        module: what is called: the network, or a module that holds it.
        network: the network.
        parts: names of submodules of the network, such as `reconstruction`; none leaves all in training.

    Raises:
        ValueError: the network has no submodule of that name.
    """

    def __init__(self, module: nn.Module, network: nn.Module, parts: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        children = dict(network.named_children())
        unknown = [name for name in parts if name not in children]
        if unknown:
            known = ", ".join(children)
            raise ValueError(f"frozen parts: expected some of {known}, received {', '.join(unknown)}")
        # In a tuple, not registered: they are the module's already.
        self._frozen = tuple(children[name] for name in parts)
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def forward(self, x: Tensor) -> object:
        """Result of the module."""
        return self.module(x)

    def train(self, mode: bool = True) -> "FrozenParts":
        """Switch all but the frozen parts to training or evaluation."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self
