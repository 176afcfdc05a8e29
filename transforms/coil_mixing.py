"""Linear mixtures of receive coils: white noise, and fewer virtual coils."""

import torch
from torch import Tensor


def noise_covariance(noise: Tensor) -> Tensor:
    """Covariance of the coils' noise, E[n n^H], from samples without signal.

    Args:
        noise: complex, shape `(coil sample)`, of zero mean.

    Returns:
        Hermitian matrix `(coil coil)`, complex128, in the squared unit of the samples.

    Raises:
        ValueError: no more samples than coils, or values that are not finite.

    Example:
        >>> noise_covariance(torch.tensor([[1, -1, 1, -1], [2j, 2j, -2j, -2j]])).real
        tensor([[1., 0.],
                [0., 4.]], dtype=torch.float64)
    """
    n_coils, n_samples = noise.shape
    if n_samples <= n_coils:
        raise ValueError(f"noise: expected more samples than {n_coils} coils, received {n_samples}")
    if not noise.isfinite().all():
        raise ValueError("noise: expected finite samples, received NaN or infinite")
    wide = noise.to(torch.complex128)
    return wide @ wide.mH / n_samples


def prewhiten(kspace: Tensor, covariance: Tensor) -> Tensor:
    """Mix coils so that their noise is independent and of unit variance: L^-1 k, with L L^H the covariance.

    The real and the imaginary part of white noise then have the variance 1/2 each. Sensitivities are mixed alike:
    those of the mixture have to be estimated after it.

    Args:
        kspace: complex, shape `(... coil y x)`.
        covariance: of the noise, Hermitian and positive, `(coil coil)`; see `noise_covariance`.

    Returns:
        Mixture `(... coil y x)`, complex64.

    Raises:
        ValueError: a covariance of other coils, or one that is not positive: a coil that receives nothing.

    Reference:
        Pruessmann et al., Advances in sensitivity encoding with arbitrary k-space trajectories, 2001, appendix.

    Example:
        >>> prewhiten(torch.tensor([2.0, 9.0j])[:, None, None], torch.diag(torch.tensor([4.0, 9.0]))).flatten()
        tensor([1.+0.j, 0.+3.j])
    """
    n_coils = kspace.shape[-3]
    if covariance.shape != (n_coils, n_coils):
        raise ValueError(
            f"noise: expected the covariance of {n_coils} coils, received {list(covariance.shape)}"
        )
    factor, failed = torch.linalg.cholesky_ex(covariance.to(torch.complex128))
    if failed or not factor.isfinite().all():
        raise ValueError("noise: expected a positive covariance, received a singular one")
    samples = kspace.to(torch.complex128).flatten(-2)
    whitened: Tensor = torch.linalg.solve_triangular(factor, samples, upper=False)
    return whitened.reshape(kspace.shape).to(torch.complex64)


def compress_coils(kspace: Tensor, n_virtual: int) -> Tensor:
    """Mix coils to fewer virtual ones, those that hold the most energy; each sample stays where it was measured.

    The virtual coils are the leading principal components of the whole array, strongest first, and the same for all
    its slices. White noise stays white.

    Args:
        kspace: complex, shape `(... coil y x)`.
        n_virtual: number of virtual coils; not below the number of coils, nothing is done.

    Returns:
        Virtual coils `(... n_virtual y x)`, or the array as it is.

    Raises:
        ValueError: fewer than one virtual coil.

    Reference:
        Huang et al., A software channel compression technique for faster reconstruction with many channels, 2008.

    Example:
        >>> compress_coils(torch.tensor([3.0, 4.0j])[:, None, None], 1).abs()
        tensor([[[5.]]])
    """
    if n_virtual < 1:
        raise ValueError(f"coil compression: expected at least 1 virtual coil, received {n_virtual}")
    if n_virtual >= kspace.shape[-3]:
        return kspace
    samples = kspace.movedim(-3, 0).flatten(1)
    # Eigenvectors of the coils' covariance are the left singular vectors; its values ascend.
    leading = torch.linalg.eigh(samples @ samples.mH)[1][:, -n_virtual:].flip(1)
    virtual: Tensor = torch.einsum("cv,...cyx->...vyx", leading.conj(), kspace)
    return virtual
