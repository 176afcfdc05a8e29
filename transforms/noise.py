"""White noise of a receiver, always expressed as one number."""

from typing import Literal, get_args

import torch
from torch import Tensor

from kseg.transforms.sequences import PulseSequence
from kseg.transforms.tissues import Tissue, tissue_list

NoiseReference = Literal["csf", "gm", "wm", "image_max", "rms", "absolute"]
"""What a noise level refers to: a tissue's signal, the largest or root-mean-square magnitude, or nothing."""


def noise_sigma(
    level: float,
    reference: NoiseReference,
    *,
    sequence: PulseSequence,
    tissues: dict[str, Tissue],
    image: Tensor | None = None,
) -> float:
    """Resolve a noise level to sigma.

    Sigma is the standard deviation of the real and of the imaginary part of each k-space sample under the
    orthonormal Fourier transform, and so also that of each voxel of the fully sampled image.

    Args:
        level: relative noise, 0.1 for 10 %; with the reference `absolute` sigma itself.
        reference: `csf`, `gm` or `wm`: the signal of that tissue in this sequence (BrainWeb's convention for
            T2-weighted images is CSF); `image_max` and `rms`: magnitude of the noise-free image.
        sequence: the sequence of the scan.
        tissues: tissue table.
        image: noise-free image, for `image_max` and `rms`.

    Raises:
        ValueError: a negative level, an unknown reference, a tissue that the table does not have, or no image
            where the reference needs one.

    Example:
        >>> from kseg.transforms.sequences import SpinEcho
        >>> water = {"csf": Tissue(pd=1.0, t1=1e-3, t2=0.08, t2_star=0.08)}
        >>> round(noise_sigma(0.1, "csf", sequence=SpinEcho(te=0.08), tissues=water), 5)
        0.03679
    """
    if not level >= 0:
        raise ValueError(f"noise level: expected 0 or more, received {level}")
    if reference not in get_args(NoiseReference):
        known = ", ".join(get_args(NoiseReference))
        raise ValueError(f"noise level: expected a reference out of {known}, received {reference!r}")
    if reference == "absolute":
        return level
    if reference in ("csf", "gm", "wm"):
        return level * float(sequence.signal(tissue_list(tissues, [reference])).abs())
    if image is None:
        raise ValueError(f"noise level: expected an image for the reference {reference!r}, received none")
    magnitude = image.abs()
    return level * float(magnitude.max() if reference == "image_max" else magnitude.square().mean().sqrt())


def add_noise(kspace: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise to k-space.

    Args:
        kspace: complex, any shape.
        sigma: standard deviation of the real and of the imaginary part.
        generator: source of randomness, of the CPU wherever the k-space is.

    Returns:
        Noisy k-space of the same shape.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> noisy = add_noise(torch.zeros(100_000, dtype=torch.complex64), 2.0, generator)
        >>> round(float(noisy.real.std()), 1), round(float(noisy.imag.std()), 1)
        (2.0, 2.0)
    """
    noise = torch.randn(*kspace.shape, 2, generator=generator).mul_(sigma)
    return torch.view_as_complex(noise).to(kspace.device) + kspace
