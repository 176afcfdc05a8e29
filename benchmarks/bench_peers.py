"""What a forward pass costs beside the networks of other packages, in the same run.

MONAI comes with kseg. The others are measured where they are installed and named where they are not; kseg needs none:

    pip install --constraint constraints.txt fastmri deepinv

deepinv needs a torchvision that was built for the same device as torch. ATOMMIC (1.0.1) would replace torch, which it
wants below 2.1. DIRECT for MRI is not on the package index; the DIRECT there is another.
"""

from collections.abc import Callable

import torch
from bench_simulation import medians, print_table
from monai.apps.reconstruction.networks.nets.coil_sensitivity_model import CoilSensitivityModel
from monai.apps.reconstruction.networks.nets.complex_unet import ComplexUnet
from monai.apps.reconstruction.networks.nets.varnet import VariationalNetworkModel
from torch import Tensor, nn

from kseg.networks.inference import for_inference, inference_dtype
from kseg.networks.seranet import SERANet
from kseg.pipelines.bundle import load_network
from kseg.transforms.channels import network_input
from kseg.transforms.sampling import gaussian_lines

SHAPE = (216, 180)
N_SAMPLED, N_CENTER = 54, 16
PLAIN = "shipped network, plain"

Pieces = dict[str, Callable[[], object]]


def scan() -> tuple[Tensor, Tensor]:
    """Under-sampled k-space of one slice, `(1, 1, y, x)`, and the lines that are sampled."""
    generator = torch.Generator().manual_seed(0)
    mask = gaussian_lines(SHAPE[1], N_SAMPLED, N_CENTER, generator)
    return torch.randn(1, 1, *SHAPE, dtype=torch.complex64, generator=generator) * mask, mask


def named(name: str, network: nn.Module) -> str:
    """Name of a network with its size."""
    return f"{name} ({sum(p.numel() for p in network.parameters()) / 1e6:.1f} M)"


def of_kseg(kspace: Tensor, mask: Tensor) -> Pieces:
    """The shipped network, plain and in the form that `kseg segment` runs, and that of the paper's size."""
    x = network_input(kspace, mask)
    shipped, paper = load_network("brain_kspace_segmentation"), SERANet().eval()
    dtype = inference_dtype(torch.device("cpu"))
    fast = for_inference(shipped, dtype)

    def run_fast() -> Tensor:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            logits: Tensor = fast(x)
        return logits

    return {
        PLAIN: lambda: shipped(x),
        named("shipped, as segment runs it", shipped): run_fast,
        named("SERANet-3, paper's size, plain", paper): lambda: paper(x),
    }


def of_monai(kspace: Tensor, mask: Tensor) -> Pieces:
    """MONAI's end-to-end variational network, sizes of its tutorial."""
    network = VariationalNetworkModel(
        CoilSensitivityModel(features=(8, 16, 32, 64, 128, 8)),
        ComplexUnet(features=(18, 36, 72, 144, 288, 18)),
    ).eval()
    channels, lines = torch.view_as_real(kspace), mask[None, None, None, :, None]
    return {named("MONAI VarNet, 12 cascades", network): lambda: network(channels, lines)}


def of_fastmri(kspace: Tensor, mask: Tensor) -> Pieces:
    """The end-to-end variational network of fastMRI, its own sizes."""
    from fastmri.models import VarNet

    network = VarNet().eval()
    channels, lines = torch.view_as_real(kspace), mask[None, None, None, :, None]
    return {named("fastMRI VarNet, 12 cascades", network): lambda: network(channels, lines)}


def of_deepinv(kspace: Tensor, mask: Tensor) -> Pieces:
    """The unrolled networks of deepinv, its own sizes."""
    from deepinv.models import MoDL, VarNet
    from deepinv.physics import MRI

    physics = MRI(mask=mask.float().expand(1, 1, *SHAPE), img_size=(2, *SHAPE))
    y = torch.view_as_real(kspace[:, 0]).movedim(-1, 1).contiguous()
    varnet, modl = VarNet(num_cascades=12).eval(), MoDL().eval()
    return {
        named("deepinv VarNet, 12 cascades", varnet): lambda: varnet(y, physics),
        named("deepinv MoDL, 3 iterations", modl): lambda: modl(y, physics),
    }


def main() -> None:
    """Print the table, and what is not in it."""
    torch.manual_seed(0)
    kspace, mask = scan()
    pieces, missing = of_kseg(kspace, mask) | of_monai(kspace, mask), {}
    for package, make in (("fastmri", of_fastmri), ("deepinv", of_deepinv)):
        try:
            pieces |= make(kspace, mask)
        except (ImportError, RuntimeError) as error:
            missing[package] = f"{type(error).__name__}: {error}"
    print(f"{torch.get_num_threads()} threads")
    with torch.inference_mode():
        times = medians(pieces, repetitions=5)
    print_table("forward pass of one slice of 216 x 180, one coil", times, [PLAIN])
    for package, reason in missing.items():
        print(f"missing: {package} ({reason})")


if __name__ == "__main__":
    main()
