"""What happens during a readout, written as few time courses that multiply real images.

A k-space whose samples are weighted by a time course is one Fourier transform, so every term costs one,
however many tissues or off-resonances there are.
"""

import math

import numpy as np
import torch
from scipy.special import jv
from torch import Tensor

_DECAY_TOLERANCE = 1e-5
_PHASE_TOLERANCE = 1e-7


def separate_decay(decay: Tensor, signal: Tensor) -> tuple[Tensor, Tensor]:
    """Write the decay of every tissue as coefficients times few common courses.

    decay_T(t) = sum_r a_rT c_r(t). The courses are the leading singular vectors of the decays, weighted by
    the signals; real coefficients keep the mixed images real. What is left out is below 1e-5 of the largest
    signal (root mean square over the readout).

    Args:
        decay: signal relative to the echo, complex128, `(tissue, y)`.
        signal: strongest signal of each tissue at the echo, `(tissue,)`: how much its decay matters.

    Returns:
        Coefficients `(term, tissue)`, float32, and courses `(term, y)`, complex128.

    Example:
        >>> decay = torch.tensor([[1.0, 1.0], [1.0, 0.9]], dtype=torch.complex128)
        >>> coefficients, courses = separate_decay(decay, torch.ones(2))
        >>> (coefficients.T.to(torch.complex128) @ courses).real
        tensor([[1.0000, 1.0000],
                [1.0000, 0.9000]], dtype=torch.float64)
    """
    parts = torch.view_as_real(decay).flatten(1)
    weights = signal.abs().double()
    _, singular, courses = torch.linalg.svd(weights[:, None] * parts, full_matrices=False)
    floor = _DECAY_TOLERANCE * float(weights.max()) * math.sqrt(decay.shape[1])
    courses = courses[: max(1, int((singular > floor).sum()))]
    coefficients = (courses @ parts.T).float()
    return coefficients, torch.view_as_complex(courses.unflatten(1, (-1, 2)).contiguous())


class OffResonance:
    """Phase of an off-resonance map during a readout, as Chebyshev polynomials of the map times time courses.

    Jacobi-Anger: exp(-i 2 pi b t) = exp(-i 2 pi m t) sum_l (2 - delta_l0) (-i)^l J_l(2 pi h t) T_l(x) for
    b = m + h x with x within -1 to 1. Terms fall off faster than exponentially; what is left out is below
    1e-7.

    Args:
        b0: off-resonance, hertz, `(slice, y, x)`.
        times: seconds relative to the echo, float64, `(y,)`.
        delay: time before the echo in which phase builds up too, seconds.

    Attributes:
        courses: time course of each polynomial, complex128, `(polynomial, y)`.

    Reference:
        Abramowitz and Stegun, Handbook of mathematical functions, 9.1.44-45.

    Example:
        >>> field = OffResonance(torch.tensor([[[-50.0, 50.0, 30.0]]]), torch.tensor([1e-3]).double(), 0.0)
        >>> image, _ = field.modulate(torch.ones(1, 1, 1, 3), torch.ones(()), slice(0, 1))
        >>> phase = (image[:, 0, 0] * field.courses).sum(0)
        >>> phase.angle() / (-2 * math.pi)
        tensor([-0.0500,  0.0500,  0.0300], dtype=torch.float64)
    """

    def __init__(self, b0: Tensor, times: Tensor, delay: float) -> None:
        lowest, highest = torch.stack(torch.aminmax(b0.double())).tolist()
        self.b0 = b0
        self.delay = delay
        self.middle, self.half = (highest + lowest) / 2, (highest - lowest) / 2
        angle = 2 * math.pi * self.half * times
        order = np.arange(_n_terms(float(angle.abs().max())))[:, None]
        series = (2 - (order == 0)) * (-1j) ** order * jv(order, angle.numpy())
        phase = torch.polar(torch.ones_like(times), -2 * math.pi * self.middle * times)
        self.courses = torch.from_numpy(series) * phase

    def modulate(self, images: Tensor, maps: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        """Put the map's polynomials on the images and the phase at the echo on the sensitivities.

        Args:
            images: `(term, slice, y, x)`.
            maps: sensitivities, complex, `(slice or 1, coil, y, x)`.
            block: the slices of the images.

        Returns:
            Images `(polynomial term, slice, y, x)` and sensitivities `(slice, coil, y, x)`.
        """
        b0 = self.b0[block]
        polynomials = chebyshev((b0 - self.middle) / max(self.half, 1e-30), len(self.courses))
        images = (polynomials[:, None] * images).flatten(0, 1)
        if self.delay == 0:
            return images, maps
        return images, maps * torch.polar(torch.ones_like(b0), -2 * math.pi * self.delay * b0)[:, None]


def chebyshev(x: Tensor, n_terms: int) -> Tensor:
    """Chebyshev polynomials T_0 to T_(n - 1).

    Args:
        x: arguments, any shape, -1 to 1.
        n_terms: how many polynomials.

    Returns:
        Values `(polynomial, *x.shape)`.

    Example:
        >>> chebyshev(torch.tensor([0.5]), 4).T
        tensor([[ 1.0000,  0.5000, -0.5000, -1.0000]])
    """
    values = [torch.ones_like(x), x]
    while len(values) < n_terms:
        values.append(2 * x * values[-1] - values[-2])
    return torch.stack(values[:n_terms])


def _n_terms(largest_angle: float) -> int:
    # |J_l(z)| <= (z / 2)^l / l!
    n_terms = 1
    while (largest_angle / 2) ** n_terms / math.factorial(n_terms) > _PHASE_TOLERANCE:
        n_terms += 1
    return n_terms
