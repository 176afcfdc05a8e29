"""What attention costs, recurrent slice-wise against non-local: operations, memory and time, drawn as sizes grow.

Usage: python benchmarks/bench_attention.py [COSTS.png]

Operations are those of a forward pass, memory is that of a step of training, forward and backward. Both are counted,
the memory as the most bytes of tensors that live at one time beside input and parameters. Where it fits into this
machine it is also measured, with what kernels need for themselves (Linux). The paper gives the size of its volumes,
not of its crops: feature maps are those of whole volumes.
"""

import math
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from bench_simulation import medians
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from kseg.networks.attention_unet import AttentionUNet
from kseg.networks.non_local import NonLocalBlock
from kseg.networks.slice_attention import RecurrentSliceAttention

Shape = tuple[int, int, int]
BLOCKS = {"RSA": RecurrentSliceAttention, "non-local": NonLocalBlock}
# The largest volume of the paper is 60 x 320 x 260: feature maps of a U-Net that keeps slices at first, as ours, and
# of one that halves all axes.
MAPS: dict[str, tuple[int, Shape]] = {
    "second lowest level": (64, (60, 80, 66)),
    "bottom": (128, (30, 40, 33)),
    "second lowest, all axes halved": (64, (15, 80, 65)),
    "bottom, all axes halved": (128, (8, 40, 33)),
}
GROWTH = [(8, 10, 8), (15, 20, 16), (22, 30, 24), (30, 40, 33), (45, 60, 50), (60, 80, 66), (120, 160, 132)]
# Below, memory that an allocator keeps blurs the measurement.
MEASURED_MIB = (64, 2048)
TITAN_XP_MIB = 12288
CROP: Shape = (16, 96, 96)


class LiveBytes(TorchDispatchMode):
    """Follows the tensors that operations make until they are freed.

    Args:
        given: tensors that were there before; views of them are not counted either.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live, self.peak = 0, 0
        self.known = {tensor.untyped_storage()._cdata for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and see what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size


def train(block: nn.Module, x: Tensor) -> None:
    """Forward and backward."""
    block(x).sum().backward()


def on_meta(kind: str, channels: int, shape: Shape) -> tuple[nn.Module, Tensor]:
    """A block and its input that take no memory."""
    with torch.device("meta"):
        return BLOCKS[kind](channels), torch.empty(1, channels, *shape, requires_grad=True)


def operations(kind: str, channels: int, shape: Shape) -> tuple[int, int]:
    """Forward floating point operations: of the two products with slices or voxels, and of all."""
    block, x = on_meta(kind, channels, shape)
    with FlopCounterMode(display=False) as counter:
        block(x)
    counts = counter.get_flop_counts()["Global"]
    products: int = counts[torch.ops.aten.bmm]
    n_voxels = math.prod(shape)
    assert products == 2 * n_voxels * channels * (n_voxels if kind == "non-local" else 2 * sum(shape))
    return products, sum(counts.values())


def counted_mib(kind: str, channels: int, shape: Shape) -> float:
    """Peak of the bytes of live tensors in training."""
    block, x = on_meta(kind, channels, shape)
    with LiveBytes([x, *block.parameters()]) as memory:
        train(block, x)
    peak: int = memory.peak
    return peak / 2**20


def _status_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition(field + ":")[2].split()[0]) / 1024


def measured_mib(block: nn.Module, channels: int, shape: Shape) -> float:
    """Peak of resident memory in training beside what is there before."""
    x = torch.randn(1, channels, *shape, requires_grad=True)
    train(block, torch.randn(1, channels, 4, 4, 4))  # kernels are loaded
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is forgotten
    before = _status_mib("VmRSS")
    train(block, x)
    return _status_mib("VmHWM") - before


def largest_voxels(kind: str, channels: int, limit_mib: float) -> int:
    """Voxels of the largest feature map, of the shape of the bottom, whose training fits."""

    def shape(n_slices: int) -> Shape:
        return n_slices, 40 * n_slices // 30, 33 * n_slices // 30

    low, high = 1, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if counted_mib(kind, channels, shape(middle)) <= limit_mib else (low, middle)
        )
    return math.prod(shape(low))


def print_costs() -> None:
    """Print the table of the paper's feature maps."""
    print(f"\n{'feature map':32}{'channels':>9}{'size':>14}{'':12}{'GFLOP':>11}{'with conv.':>12}{'MiB':>12}")
    for name, (channels, shape) in MAPS.items():
        costs = {}
        for kind in BLOCKS:
            products, total = operations(kind, channels, shape)
            costs[kind] = (products / 1e9, total / 1e9, counted_mib(kind, channels, shape))
        ratios = [a / b for a, b in zip(costs["non-local"], costs["RSA"], strict=True)]
        for kind, numbers in {**costs, "ratio": ratios}.items():
            size = " x ".join(map(str, shape)) if kind == "RSA" else ""
            title, width = (name, str(channels)) if kind == "RSA" else ("", "")
            print(
                f"{title:32}{width:>9}{size:>14}  {kind:10}{numbers[0]:11.1f}{numbers[1]:12.1f}{numbers[2]:12.1f}"
            )


def growth() -> dict[str, dict[str, list[float]]]:
    """Print and return operations and memory as sizes grow, 64 channels."""
    print(f"\n{'voxels, 64 channels':22}{'':12}{'GFLOP':>11}{'MiB':>12}{'measured':>12}")
    curves: dict[str, dict[str, list[float]]] = {}
    for kind in BLOCKS:
        rows = curves[kind] = {"voxels": [], "GFLOP": [], "MiB": [], "measured voxels": [], "measured": []}
        for shape in GROWTH:
            n_voxels, memory = math.prod(shape), counted_mib(kind, 64, shape)
            rows["voxels"].append(n_voxels)
            rows["GFLOP"].append(operations(kind, 64, shape)[0] / 1e9)
            rows["MiB"].append(memory)
            seen = ""
            if MEASURED_MIB[0] < memory < MEASURED_MIB[1]:
                rows["measured voxels"].append(n_voxels)
                rows["measured"].append(measured_mib(BLOCKS[kind](64), 64, shape))
                seen = f"{rows['measured'][-1]:.1f}"
            print(f"{n_voxels:22d}  {kind:10}{rows['GFLOP'][-1]:11.1f}{memory:12.1f}{seen:>12}", flush=True)
    fused = measured_mib(NonLocalBlock(64, fused=True), 64, GROWTH[1])
    seen = f"{fused:.1f} MiB" if fused >= 1 else "less than can be measured"
    print(f"measured at {GROWTH[1]}, non-local without its map (fused, as many operations): {seen}")
    return curves


def draw(curves: dict[str, dict[str, list[float]]], fits: dict[str, int], output: Path) -> None:
    """Draw operations and memory by voxels."""
    figure, (operations_axes, memory_axes) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for index, (kind, rows) in enumerate(curves.items()):
        operations_axes.loglog(rows["voxels"], rows["GFLOP"], marker=".", label=kind)
        memory_axes.loglog(rows["voxels"], rows["MiB"], marker=".", label=f"{kind}, counted")
        memory_axes.loglog(
            rows["measured voxels"], rows["measured"], "x", color=f"C{index}", label=f"{kind}, measured"
        )
    memory_axes.axhline(TITAN_XP_MIB, color="grey", linestyle="--", linewidth=0.8)
    memory_axes.annotate("12 GiB", (curves["RSA"]["voxels"][0], TITAN_XP_MIB / 3.5), color="grey")
    memory_axes.axvline(fits["non-local"], color="C1", linestyle=":", linewidth=0.8)
    operations_axes.set(xlabel="voxels of the feature map", ylabel="GFLOP, products of attention, forward")
    memory_axes.set(xlabel="voxels of the feature map", ylabel="MiB, forward and backward")
    for axes in (operations_axes, memory_axes):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left")
    figure.savefig(output, dpi=110)


def print_times() -> None:
    """Print the time of the blocks, and the share that one has in the U-Net with such blocks."""
    n_slices, n_y, n_x = CROP
    maps = {
        "second lowest": (64, (n_slices, n_y // 4, n_x // 4)),
        "bottom": (128, (n_slices // 2, n_y // 8, n_x // 8)),
    }
    pieces: dict[str, Any] = {}
    volume = torch.randn(1, 3, *CROP)
    for kind, attention in (("RSA", "recurrent_slice"), ("non-local", "non_local")):
        for level, places in (("bottom", "010"), ("second lowest", "101")):
            network = AttentionUNet(attention=attention, places=places)
            pieces[f"U-Net with {kind} blocks, {level}"] = lambda network=network: train(network, volume)
    for level, (channels, shape) in maps.items():
        x = torch.randn(1, channels, *shape, requires_grad=True)
        blocks = {kind: make(channels) for kind, make in BLOCKS.items()}
        blocks["non-local, fused"] = NonLocalBlock(channels, fused=True)
        for kind, block in blocks.items():
            pieces[f"one {kind} block, {level}"] = lambda block=block, x=x: train(block, x)
    times = medians(pieces, repetitions=3)
    print(f"\nforward and backward, crop of {CROP}, 1 item{'':17}{'ms':>9}{'of U-Net':>11}")
    for name, value in times.items():
        whole = times.get(name.replace("one", "U-Net with").replace("block", "blocks"))
        share = f"{value / whole:11.1%}" if whole and not name.startswith("U-Net") else ""
        print(f"{name:58}{value:9.1f}{share}")


def main() -> None:
    """Print the tables, draw the curves."""
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads")
    print_costs()
    curves = growth()
    fits = {kind: largest_voxels(kind, 64, TITAN_XP_MIB) for kind in BLOCKS}
    for kind, n_voxels in fits.items():
        print(
            f"{kind}: the largest feature map that trains in 12 GiB, the paper's Titan Xp: {n_voxels} voxels"
        )
    if len(sys.argv) > 1:
        draw(curves, fits, Path(sys.argv[1]))
    print_times()


if __name__ == "__main__":
    main()
