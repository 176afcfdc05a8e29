"""Random heads and random scans, slice by slice: the MONAI transforms that make training data on the fly.

Both are MONAI random transforms: their state is set from outside, so that an item is the same in every worker.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.transforms import Randomizable, Transform
from torch import Tensor

from kseg.transforms.channels import complex_to_channels, network_input
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.curriculum import curriculum_fraction
from kseg.transforms.deformation import DeformationStrength, random_deformation
from kseg.transforms.dictionary import Item
from kseg.transforms.fourier import ifft2c
from kseg.transforms.head import CrispHead
from kseg.transforms.neighbours import neighbour_slices
from kseg.transforms.noise import add_noise, noise_sigma
from kseg.transforms.phantom import majority_labels
from kseg.transforms.rand_sequence import RandSequence
from kseg.transforms.sampling import gaussian_lines, line_count
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.sequences import GradientEcho, InversionRecovery, SpinEcho, require_time_jitter
from kseg.transforms.slab import slab_fractions
from kseg.transforms.tissues import load_tissue_table, require_tissue_jitter, tissue_list

_BRAIN: tuple[Literal["csf", "gm", "wm"], ...] = ("csf", "gm", "wm")


class RandHeadSliced(Randomizable, Transform):
    """Cut one slice from a head that is deformed anew each time.

    Reads `head` (a `CrispHead`), `placed` (the acquisition grid on it) and `slice` (index on the grid);
    writes `fractions` `(tissue, y, x)`, `tissues` (their names) and `label` `(1, y, x)`, uint8, the majority
    of the fractions; and `neighbours`, of each one how many slices further it lies and its fractions, in the order
    of `neighbour_slices`.

    Args:
        strength: of the deformation; the defaults of `DeformationStrength` if not given.
        slice_jitter: largest shift of the slice, in slices.
        n_neighbours: slices on each side that are cut as well, from the same deformed head.
    """

    def __init__(
        self,
        strength: DeformationStrength | None = None,
        slice_jitter: float = 0.5,
        n_neighbours: int = 0,
    ) -> None:
        self.strength = strength or DeformationStrength()
        self.slice_jitter = slice_jitter
        self.n_neighbours = n_neighbours

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return the item with the slice added."""
        head: CrispHead = data["head"]
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        deformation = random_deformation(head.extent_mm, generator, self.strength)
        position = data["slice"] + self.slice_jitter * (2 * torch.rand(1, generator=generator).item() - 1)
        fractions = slab_fractions(head, data["placed"], position, deformation)
        label = majority_labels(fractions, head.tissues)[None]
        n_slices = data["placed"].grid.shape[0]
        around = neighbour_slices(data["slice"], n_slices, self.n_neighbours)
        offsets = [index - data["slice"] for index in around]
        cut = {0: fractions}
        for offset in set(offsets) - {0}:
            cut[offset] = slab_fractions(head, data["placed"], position + offset, deformation)
        neighbours = [(offset, cut[offset]) for offset in offsets]
        sliced: dict[Hashable, Any] = {
            "fractions": fractions,
            "tissues": head.tissues,
            "label": label,
            "neighbours": neighbours,
        }
        return {**data, **sliced}


@dataclass(frozen=True)
class RandLineCount:
    """How many phase-encode lines are sampled: usually one share, sometimes another.

    Attributes:
        fraction: usual share; with a patience, that of the epochs after it.
        other_fractions: range of the share in the other cases.
        other_probability: how often a share is drawn from that range.
        n_center: central lines that are always sampled.
        patience: epochs in which the usual share falls from nearly 1, see `curriculum_fraction`; 0 for none.
    """

    fraction: float = 0.3
    other_fractions: Sequence[float] = (0.25, 1.0)
    other_probability: float = 0.2
    n_center: int = 16
    patience: int = 0

    def usual(self, item: Item) -> float:
        """Usual share in the epoch of an item, which it holds under `epoch` where there is a patience."""
        return curriculum_fraction(item["epoch"] if self.patience else 0, self.fraction, self.patience)


class RandScanSliced(Randomizable, Transform):
    """Scan one slice; contrast, receive phase, noise and sampled lines vary.

    Reads `fractions` and `tissues`; writes `image`, the network's input `(3, y, x)`: real part, imaginary
    part and mask of the noisy, under-sampled k-space; and `reference` `(2, y, x)`, float32: real and imaginary
    part of the image without noise and with all lines, receive phase included, in the unit of `image`.

    Neighbours, where `RandHeadSliced` cut some, are scanned in the same way with the same lines and noise of their
    own; the real and imaginary parts of each follow the mask in `image`, as `slices_input` orders them.

    Args:
        sequence: pulse sequence with its mean times; a spin echo with TE 80 ms and TR 3 s if not given.
        tissues: name or path of the tissue table.
        time_jitter: largest relative change of TE and TR.
        tissue_jitter: largest relative change of each tissue's density and relaxation times.
        noise: range of the noise level, relative to the largest signal of CSF, GM and WM in the sequence, which in
            T2-weighted scans is that of CSF.
        lines: how many lines are sampled.
        scans: sequences of which each item draws one, with its times, in the place of `sequence` and `time_jitter`.

    Raises:
        ValueError: a change of 1 and more, or one with which the times may not fit into each other.
    """

    def __init__(
        self,
        sequence: SpinEcho | GradientEcho | InversionRecovery | None = None,
        tissues: str = "1.5T",
        time_jitter: float = 0.05,
        tissue_jitter: float = 0.05,
        noise: Sequence[float] = (0.05, 0.15),
        lines: RandLineCount | None = None,
        scans: Sequence[RandSequence] = (),
    ) -> None:
        self.sequence = sequence or SpinEcho()
        require_time_jitter(self.sequence, time_jitter)
        require_tissue_jitter(tissue_jitter)
        self.tissues = load_tissue_table(tissues)
        self.time_jitter = time_jitter
        self.tissue_jitter = tissue_jitter
        self.noise = noise
        self.lines = lines or RandLineCount()
        self.scans = scans

    def mask(self, n_x: int, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw the sampled lines; a subclass may draw others.

        Args:
            n_x: lines of the grid.
            fraction: sampled share.
            generator: source of randomness.

        Returns:
            Bool `(x,)`.
        """
        return gaussian_lines(n_x, line_count(n_x, fraction), self.lines.n_center, generator)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return the item with the scan added."""
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        sequence = self._sequence(generator)
        named = tissue_list(self.tissues, data["tissues"])
        tissues = [tissue.jittered(self.R, self.tissue_jitter) for tissue in named]
        n_y, n_x = data["fractions"].shape[-2:]
        maps = coil_maps(1, (n_y, n_x), generator)

        def scanned(fractions: Tensor) -> Tensor:
            return scan_kspace(fractions[:, None], tissues, sequence, maps=maps, readout=Readout())[0]

        clean = scanned(data["fractions"])
        level = float(self.R.uniform(self.noise[0], self.noise[1]))
        sigma = max(noise_sigma(level, tissue, sequence=sequence, tissues=self.tissues) for tissue in _BRAIN)
        fraction = self.lines.usual(data)
        if self.R.rand() < self.lines.other_probability:
            fraction = float(self.R.uniform(self.lines.other_fractions[0], self.lines.other_fractions[1]))
        mask = self.mask(n_x, fraction, generator)
        image = network_input(add_noise(clean, sigma, generator)[None], mask)[0]
        reference = complex_to_channels(ifft2c(clean)[None])[0]
        # Last of all: the slice itself is the same with and without neighbours.
        neighbours = data.get("neighbours", [])
        measured = {0: image[:-1]}
        for offset, further in neighbours:
            if offset not in measured:
                noisy = add_noise(scanned(further), sigma, generator)
                measured[offset] = network_input(noisy[None], mask)[0, :-1]
        around = [measured[offset] for offset, _ in neighbours]
        return {**data, "image": torch.cat([image, *around]), "reference": reference}

    def _sequence(self, generator: torch.Generator) -> SpinEcho | GradientEcho | InversionRecovery:
        if not self.scans:
            return self.sequence.jittered(generator, self.time_jitter)
        which = int(torch.randint(len(self.scans), (1,), generator=generator))
        return self.scans[which].draw(generator)
