"""The only Fourier transform of the project: centred, orthonormal, over the last two axes."""

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
    shifted = torch.fft.ifftshift(image, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(shifted, dim=(-2, -1), norm="ortho"), dim=(-2, -1))


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
    shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(shifted, dim=(-2, -1), norm="ortho"), dim=(-2, -1))
