"""What segmenting costs: the plain network, and the form that `kseg segment` runs, in the same run."""

from collections.abc import Callable
from functools import partial

import torch
from bench_simulation import medians, print_table
from monai.transforms import CenterSpatialCrop
from torch import Tensor, nn

from kseg.networks.inference import for_inference, inference_dtype
from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.networks.seranet import SERANet
from kseg.pipelines.bundle import load_network
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.segment_work import load_segmenter
from kseg.pipelines.segmentation import segment_volume
from kseg.pipelines.simulate import SimulationSettings, simulate_scan
from kseg.pipelines.simulate_lesions import LesionSettings
from kseg.pipelines.volumes import describe_patient
from kseg.transforms.brain_regions import regions_of_mni152
from kseg.transforms.channels import network_input
from kseg.transforms.grid import GridRange
from kseg.transforms.mni152 import mni152_head
from kseg.transforms.percentile_scaling import ScaleBetweenPercentilesd
from kseg.transforms.phantom import make_phantom

DTYPE = inference_dtype(torch.device("cpu"))


def run(network: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Logits of slices."""
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        logits: Tensor = network(x)
    return logits


def compare(title: str, network: nn.Module, x: Tensor, repetitions: int) -> None:
    """Print the times of the first input, and the share of voxels of all that get the class of the plain network."""
    first, fast, exact = x[:1], for_inference(network, DTYPE), for_inference(network)
    times = medians(
        {
            "eager, float32, channels first": lambda: run(network, first, torch.float32),
            "folded, channels last, float32": lambda: run(exact, first, torch.float32),
            f"folded, channels last, {str(DTYPE).removeprefix('torch.')}": lambda: run(fast, first, DTYPE),
        },
        repetitions,
    )
    print_table(title, times, ["eager, float32, channels first"])
    same = torch.cat(
        [
            run(fast, each, DTYPE).argmax(1) == run(network, each, torch.float32).argmax(1)
            for each in x.split(1)
        ]
    )
    print(f"classes equal to those of the plain network: {same.float().mean():.4%} of voxels")


def compare_volume(network: KSpaceSegmenter, kspace: Tensor, mask: Tensor) -> None:
    """Print the times of a whole volume: slice by slice through the plain network, and as `kseg segment` does it."""
    plain = "eager, float32, slice by slice"
    pieces: dict[str, Callable[[], object]] = {
        plain: lambda: [run(network, network_input(each[None], mask), torch.float32) for each in kspace]
    }
    for name, flip in (("without the mirrored scan", False), ("averaged with it, as shipped", True)):
        options = InferenceOptions(flip=flip, precision="auto")
        pieces[name] = partial(segment_volume, network, kspace, mask, options)
    print_table(f"shipped network, {len(kspace)} slices", medians(pieces, repetitions=3), [plain])


def windows(size: tuple[int, int, int]) -> Tensor:
    """Windows `(window, contrast, slice, y, x)` side by side through the middle of a patient with lesions."""
    head = mni152_head()
    transform = LesionSettings().transform().set_random_state(0)
    patient = transform({"head": head, **describe_patient(head, regions_of_mni152(head), GridRange())})
    image = ScaleBetweenPercentilesd("image")({"image": patient["image"]})["image"]
    image = CenterSpatialCrop((size[0], 2 * size[1], 2 * size[2]))(image)
    return torch.stack([x for half in image.split(size[1], dim=2) for x in half.split(size[2], dim=3)])


def main() -> None:
    """Print the tables of the shipped networks and that of the paper's size."""
    volume = simulate_scan(make_phantom(mni152_head(), "mni152"), SimulationSettings()).volume
    x = network_input(volume.kspace[8:56:4], volume.mask)
    print(f"{torch.get_num_threads()} threads")
    network = load_network("brain_kspace_segmentation")
    compare("shipped network, one slice of 216 x 180", network, x, repetitions=15)
    compare_volume(load_segmenter("brain_kspace_segmentation"), volume.kspace, volume.mask)
    torch.manual_seed(0)
    paper = SERANet().eval()
    compare("SERANet-3 of the paper's size, one slice, weights random", paper, x[:1], repetitions=5)
    lesions = load_network("ms_lesion_segmentation")
    compare("RSANet, shipped, one window of 24 x 96 x 96", lesions, windows((24, 96, 96)), repetitions=9)


if __name__ == "__main__":
    main()
