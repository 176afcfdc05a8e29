"""How a batch is run: by whom, which share of it, and what of an earlier run counts."""

from dataclasses import dataclass, field
from typing import Literal

from kseg.pipelines.manifest import Shard


@dataclass(frozen=True)
class RunSettings:
    """How a batch is run.

    Attributes:
        engine: `here`, in this process, which a bad item can end; `processes`; or `ray`.
        workers: worker processes, or actors of Ray.
        timeout: seconds that an item may take; none if not given.
        address: of a Ray cluster; one is started on this machine if not given.
        shard: share of the items that is done.
        resume: leave what an earlier run finished, if its records and files say that it is still right.
        retry_failed: do again what failed in an earlier run.
        relist: list the input anew though other shards use an earlier list.
        trust: take a bundle that `kseg bundle check` refuses, and run whatever code it names.
        device: where the network computes, see `choose_device`; all workers of a machine share it.

    Raises:
        ValueError: no worker, or a time that is not positive.
    """

    engine: Literal["here", "processes", "ray"] = "here"
    workers: int = 1
    timeout: float | None = None
    address: str | None = None
    shard: Shard = field(default_factory=Shard)
    resume: bool = True
    retry_failed: bool = False
    relist: bool = False
    trust: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers: expected 1 or more, received {self.workers}")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout: expected more than 0 seconds, received {self.timeout:g}")
