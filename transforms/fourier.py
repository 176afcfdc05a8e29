"""The only Fourier transform of the project: centred, orthonormal, over the last two axes."""

import math

import torch
from torch import Tensor


def fft2c(image: Tensor) -> Tensor:
    """Transform an image to k-space.

    Args:
        image: complex, shape `(... y x)`, the origin at index `(y // 2, x // 2)`.

    Returns:
        k-space `(... y x)` in the unit of the image, zero frequency at `(y // 2, x // 2)`.

    Example:
        >>> point = torch.zeros(3, 4, dtype=torch.complex64)
        >>> point[1, 2] = 12**0.5
        >>> torch.allclose(fft2c(point), torch.ones(3, 4, dtype=torch.complex64))
        True
    """
    if _exporting_to_onnx():
        return _multiply_matrices(image, -1.0)
    phase = _centring_phases(image, 1.0)
    kspace: Tensor = torch.fft.fft2(image * phase, dim=(-2, -1), norm="ortho")
    return kspace.mul_(phase)


def ifft2c(kspace: Tensor) -> Tensor:
    """Transform k-space to an image; inverse and adjoint of `fft2c`.

    Args:
        kspace: complex, shape `(... y x)`, zero frequency at index `(y // 2, x // 2)`.

    Returns:
        Image `(... y x)` in the unit of the k-space.

    Example:
        >>> image = torch.arange(6).reshape(2, 3).to(torch.complex64)
        >>> torch.allclose(ifft2c(fft2c(image)), image, atol=1e-6)
        True
    """
    if _exporting_to_onnx():
        return _multiply_matrices(kspace, 1.0)
    phase = _centring_phases(kspace, -1.0)
    image: Tensor = torch.fft.ifft2(kspace * phase, dim=(-2, -1), norm="ortho")
    return image.mul_(phase)


def centring_angle(n: int, device: torch.device) -> Tensor:
    """Phase that centres a transform of length n when it multiplies both its input and its output.

    With c = n // 2, exp(-i 2 pi (k - c) (j - c) / n) = exp(i a_k) exp(-i 2 pi k j / n) exp(i a_j) for
    a_j = 2 pi c (j - c / 2) / n, so no data are moved. For even n the factors are 1, -1 (or i, -i).

    Args:
        n: number of samples.
        device: where the result lives.

    Returns:
        Angle a_j of a forward transform, radians, float64, `(n,)`; that of the inverse is its negative.

    Example:
        >>> torch.cos(centring_angle(4, torch.device("cpu"))).round()
        tensor([-1.,  1., -1.,  1.], dtype=torch.float64)
    """
    center = n // 2
    return (torch.arange(n, dtype=torch.float64, device=device) - center / 2) * (2 * math.pi * center / n)


def _centring_phases(values: Tensor, sign: float) -> Tensor:
    y = sign * centring_angle(values.shape[-2], values.device).unsqueeze(-1)
    x = sign * centring_angle(values.shape[-1], values.device)
    real = torch.real(values).dtype
    # The dtype changes before the parts meet: ONNX cannot cast complex numbers.
    along_y = torch.complex(torch.cos(y).to(real), torch.sin(y).to(real))
    return along_y * torch.complex(torch.cos(x).to(real), torch.sin(x).to(real))


def _exporting_to_onnx() -> bool:
    # Scripting skips a branch only if its own condition says so.
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return False
    else:
        return torch.onnx.is_in_onnx_export()


def _multiply_matrices(values: Tensor, sign: float) -> Tensor:
    # ONNX Runtime's own transform is wrong by 1e-4 where the length is not a power of two.
    cos_y, sin_y = _centred_matrix(values.shape[-2], sign, values.device)
    cos_x, sin_x = _centred_matrix(values.shape[-1], sign, values.device)
    real, imag = torch.real(values), torch.imag(values)
    real, imag = real @ cos_x - imag @ sin_x, real @ sin_x + imag @ cos_x
    return torch.complex(cos_y @ real - sin_y @ imag, sin_y @ real + cos_y @ imag)


def _centred_matrix(n: int, sign: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine of exp(sign i 2 pi (k - c)(j - c) / n) / sqrt(n), c = n // 2, float32, `(n, n)`."""
    index = torch.arange(n, dtype=torch.float64, device=device) - n // 2
    turns = index[:, None] * index / n
    # ONNX Runtime's cosine of a large angle is inexact.
    angle = (turns - torch.round(turns)) * (sign * 2 * math.pi)
    # The square root of a number would fix the size of an exported transform; that of a tensor does not.
    norm = torch.ones_like(index).sum().sqrt()
    return (torch.cos(angle) / norm).float(), (torch.sin(angle) / norm).float()
