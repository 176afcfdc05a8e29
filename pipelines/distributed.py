"""What training in several processes needs besides PyTorch's: one truth about buffers, one writer."""

from types import FrameType

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from kseg.pipelines.training import ResumableTraining


class FirstProcessBuffers:
    """Give every process the buffers of the first before each evaluation.

    The running statistics of batch normalisation follow what each process has seen. Evaluated is what will be
    saved, and that is the network of the first process.

    Args:
        network: the network, not its distributed wrapper.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Listen to the beginning of each evaluation."""
        engine.add_event_handler(Events.STARTED, self._share)

    def _share(self) -> None:
        for buffer in self.network.buffers():
            dist.broadcast(buffer, src=0)


class ResumedTraining(ResumableTraining):
    """Resume as the first process does, and leave all writing to it. All have to see the same checkpoint.

    SIGTERM is left to it too: it completes the iteration, for which it needs this process, saves, and ends;
    this process then ends with an error, since the other is gone.

    Args and errors are those of `ResumableTraining`.
    """

    def attach(self, engine: Engine) -> None:
        """Listen to the start and the end alone."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.COMPLETED, self._restore_signal)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        pass
