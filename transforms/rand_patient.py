"""Random patients with multiple sclerosis as whole volumes: lesions, a deformed head, three contrasts.

MONAI random transforms, as those of `kseg.transforms.rand_scan` for single slices: their state is set from outside.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from monai.transforms import Randomizable, Transform
from torch import Tensor

from kseg.transforms.acquired_resolution import acquired_window
from kseg.transforms.bias_field import bias_field
from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.deformation import DeformationStrength, random_deformation
from kseg.transforms.dictionary import Item
from kseg.transforms.fourier import ifft2c
from kseg.transforms.head import CrispHead
from kseg.transforms.lesion_model import LesionModel
from kseg.transforms.lesions import add_lesions, heal_lesions
from kseg.transforms.noise import add_noise, noise_sigma
from kseg.transforms.rand_sequence import RandSequence
from kseg.transforms.random_field import random_field
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.slab import SampledHead, sample_head
from kseg.transforms.tissues import Tissue, load_tissue_table, require_tissue_jitter, tissue_list

CONTRASTS = (
    RandSequence("spin_echo", te=(0.009, 0.014), tr=(0.5, 0.65)),
    RandSequence("spin_echo", te=(0.085, 0.11), tr=(4.0, 6.0)),
    RandSequence("inversion_recovery", te=(0.11, 0.13), tr=(8.8, 9.2), ti=(2.42, 2.52)),
)
"""T1-weighted, T2-weighted and FLAIR, whose inversion time leaves fluid dark."""

_WELL_POSITIONED = DeformationStrength(rotation_deg=5.0, scaling=0.06)
_BLOCK = 8
_SEVERITY_MM = 12.0
_FLOWING = 0.1


class RandLesionsd(Randomizable, Transform):
    """Give a head lesions of multiple sclerosis.

    Reads `head` (a `CrispHead`) and `places` (its `lesion_sites`); replaces `head`.

    Args:
        model: number, place, size and confluence of the lesions; the defaults of `LesionModel` if not given.
        own: how often lesions that the head has are left, 0 to 1; otherwise they become white matter first.

    Raises:
        ValueError: a share outside 0 to 1.
    """

    def __init__(self, model: LesionModel | None = None, own: float = 0.1) -> None:
        if not 0 <= own <= 1:
            raise ValueError(
                f"lesions: expected a share of heads in 0..1 that keep their own, received {own}"
            )
        self.model = model or LesionModel()
        self.own = own

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return the item with another head."""
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        head: CrispHead = data["head"]
        if torch.rand(1, generator=generator).item() >= self.own:
            head = heal_lesions(head)
        return {**data, "head": add_lesions(head, data["places"], generator, self.model)}


class RandHeadVolumed(Randomizable, Transform):
    """Cut all slices from a head that is deformed anew each time.

    Reads `head` (a `CrispHead`) and `placed` (the acquisition grid on it); writes `sampled` (a `SampledHead`, all
    that a scan needs) and `label` `(1, slice, y, x)`, uint8: 1 where at least half of the voxel is lesion.

    Args:
        strength: of the deformation; with rotation and scaling of patients that lie well if not given.
    """

    def __init__(self, strength: DeformationStrength | None = None) -> None:
        self.strength = strength or _WELL_POSITIONED

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return the item with the slices added."""
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        head: CrispHead = data["head"]
        deformation = random_deformation(head.extent_mm, generator, self.strength)
        sampled = sample_head(head, data["placed"], deformation)
        label = (sampled.share("lesion") >= 0.5).to(torch.uint8)[None]
        return {**data, "sampled": sampled, "label": label}


class RandContrastsd(Randomizable, Transform):
    """Scan all slices with several sequences; times, tissues, severity of lesions, noise and brightness vary.

    Reads `sampled` and `placed`; writes `image`, magnitude images `(contrast, slice, y, x)`, float32, in units of
    the proton density. All contrasts lie on the same grid. Noise is complex and added in k-space; the smooth
    brightness is that of the receiver.

    Tissue of lesions varies from place to place between a mild and a severe end, which is a black hole in
    T1-weighted images.

    Args:
        contrasts: sequences, each with its ranges of times.
        tissues: name or path of the tissue table.
        tissue_jitter: largest relative change of each tissue's density and relaxation times.
        noise: range of the noise level, relative to the signal of white matter in the sequence.
        bias: range of the strength of uneven brightness, see `bias_field`.
        severity: T1 and T2 of lesions at the mild and the severe end, relative to those of the table.
        acquired_mm: size of the acquired voxels in plane; images are interpolated to the grid.

    Raises:
        ValueError: no contrast, or a change of 1 and more.
    """

    def __init__(
        self,
        contrasts: Sequence[RandSequence] = CONTRASTS,
        tissues: str = "3T",
        tissue_jitter: float = 0.05,
        noise: Sequence[float] = (0.02, 0.06),
        bias: Sequence[float] = (0.05, 0.2),
        severity: Sequence[float] = (0.9, 1.4),
        acquired_mm: float = 0.9,
    ) -> None:
        if not contrasts:
            raise ValueError("contrasts: expected at least one sequence, received none")
        require_tissue_jitter(tissue_jitter)
        self.contrasts = contrasts
        self.tissues = load_tissue_table(tissues)
        self.tissue_jitter = tissue_jitter
        self.noise = noise
        self.bias = bias
        self.severity = severity
        self.acquired_mm = acquired_mm

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return the item with the images added."""
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        sampled: SampledHead = data["sampled"]
        grid = data["placed"].grid
        tissues = self._tissues(sampled.tissues)
        # Share of the severe end in the tissue of lesions.
        z, y, x = (
            size * torch.arange(n, dtype=torch.float32)
            for n, size in zip(grid.shape, grid.spacing_mm, strict=True)
        )
        severe = (0.5 + 0.5 * random_field(1, (z, y, x), _SEVERITY_MM, generator)[0]).clamp(0, 1)
        scans = []
        for contrast in self.contrasts:
            sequence = contrast.draw(generator)
            level, strength = (float(self.R.uniform(span[0], span[1])) for span in (self.noise, self.bias))
            sigma = noise_sigma(level, "wm", sequence=sequence, tissues=self.tissues)
            received = coil_maps(1, grid.shape[1:], generator) * bias_field(
                grid.shape, grid.spacing_mm, strength, generator
            )
            scans.append((sequence, sigma, received))
        window = acquired_window(grid.shape[1:], grid.spacing_mm[1:], self.acquired_mm)
        image = torch.empty(len(scans), *grid.shape)
        for start in range(0, grid.shape[0], _BLOCK):
            block = slice(start, start + _BLOCK)
            fractions = _split_lesions(sampled, sampled.fractions(block), severe[block])
            for index, (sequence, sigma, received) in enumerate(scans):
                clean = scan_kspace(fractions, tissues, sequence, maps=received[:, block], readout=Readout())
                measured = add_noise(clean, sigma, generator).mul_(window)
                image[index, block] = ifft2c(measured)[:, 0].abs()
        return {**data, "image": image}

    def _tissues(self, names: Sequence[str]) -> list[Tissue]:
        """Tissues as they are in one patient, lesions at their mild end; at the end lesions at their severe end."""
        tissues = [each.jittered(self.R, self.tissue_jitter) for each in tissue_list(self.tissues, names)]
        lesion = self.tissues["lesion"].jittered(self.R, self.tissue_jitter)
        mild, severe = (lesion.scaled(1.0, factor, factor) for factor in self.severity)
        special = {"lesion": mild}
        if "vessel" in names:
            # Blood that leaves the slice between two pulses emits next to nothing.
            special["vessel"] = self.tissues["vessel"].scaled(_FLOWING, 1.0, 1.0)
        return [*(special.get(name, each) for name, each in zip(names, tissues, strict=True)), severe]


def _split_lesions(sampled: SampledHead, fractions: Tensor, severe: Tensor) -> Tensor:
    """Move a share of the lesions to a tissue of their own, the last, `(tissue, slice, y, x)`."""
    if "lesion" not in sampled.tissues:
        return torch.cat([fractions, torch.zeros_like(fractions[:1])])
    lesion = fractions[sampled.tissues.index("lesion")]
    worse = lesion * severe
    lesion -= worse
    return torch.cat([fractions, worse[None]])
