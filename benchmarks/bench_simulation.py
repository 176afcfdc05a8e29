"""What simulation costs: a whole scan in Fourier transforms of its size, a zero-filled slice in plain numpy.

The pieces of a table take turns, and ratios are those of medians, so that a busy machine slows all alike.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.fourier import fft2c, ifft2c
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.noise import add_noise
from kseg.transforms.sampling import gaussian_lines
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.sequences import SpinEcho
from kseg.transforms.tissues import load_tissue_table, tissue_list

SHAPE = (57, 216, 180)
N_SAMPLED, N_CENTER = 54, 16


def medians(pieces: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median wall time of each piece, milliseconds; two turns that are not counted come first."""
    seconds: dict[str, list[float]] = {name: [] for name in pieces}
    for turn in range(repetitions + 2):
        for name, piece in pieces.items():
            start = time.perf_counter()
            piece()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def print_table(title: str, times: dict[str, float], references: list[str]) -> None:
    """Print times, and the ratio of each to every reference."""
    print(f"\n{title}\n{'':42}{'ms':>9}" + "".join(f"{'/ ' + name:>18}" for name in references))
    for name, value in times.items():
        print(f"{name:42}{value:9.2f}" + "".join(f"{value / times[other]:18.2f}" for other in references))


def whole_scan() -> dict[str, float]:
    """A volume from fractions of 14 tissues, one coil with phase, decay during the readout."""
    generator = torch.Generator().manual_seed(0)
    tissues = tissue_list(load_tissue_table("1.5T"), load_label_codes("freesurfer").tissues)
    fractions = torch.rand(len(tissues), *SHAPE, generator=generator)
    fractions /= fractions.sum(0)
    maps = coil_maps(1, SHAPE[1:], generator)

    def scan() -> torch.Tensor:
        return scan_kspace(fractions, tissues, SpinEcho(), maps=maps, readout=Readout())

    image = scan()
    return medians(
        {
            "torch.fft.fft2": lambda: torch.fft.fft2(image, norm="ortho"),
            "fft2c": lambda: fft2c(image),
            "simulation": scan,
            "simulation and noise": lambda: add_noise(scan(), 0.01, generator),
        },
        repetitions=15,
    )


def numpy_zero_filled(kspace: npt.NDArray[np.complex64], random: np.random.Generator) -> object:
    """The same density, count and centre, and the same centred transform, in plain numpy."""
    n_lines = kspace.shape[-1]
    density = np.exp(-(((np.arange(n_lines) - n_lines // 2) / (0.1 * n_lines)) ** 2) / 2) + 0.15
    first = n_lines // 2 - N_CENTER // 2
    density[first : first + N_CENTER] = 0
    mask = np.zeros(n_lines, dtype=bool)
    mask[first : first + N_CENTER] = True
    mask[random.choice(n_lines, N_SAMPLED - N_CENTER, replace=False, p=density / density.sum())] = True
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace * mask), norm="ortho"))


def zero_filled_slice() -> dict[str, float]:
    """Mask and zero-filled image of one slice."""
    generator, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    kspace = torch.randn(SHAPE[1:], dtype=torch.complex64, generator=generator)
    array = kspace.numpy()
    return medians(
        {
            "numpy": lambda: numpy_zero_filled(array, random),
            "gaussian_lines and ifft2c": lambda: ifft2c(
                kspace * gaussian_lines(SHAPE[2], N_SAMPLED, N_CENTER, generator)
            ),
        },
        repetitions=300,
    )


def main() -> None:
    """Print both tables."""
    size = " x ".join(map(str, SHAPE))
    print(f"{torch.get_num_threads()} threads")
    print_table(f"scan of {size} voxels", whole_scan(), ["torch.fft.fft2", "fft2c"])
    print_table("mask and zero-filled image of 216 x 180", zero_filled_slice(), ["numpy"])


if __name__ == "__main__":
    main()
