"""Coil images and one image: expansion and combination with sensitivities, root sum of squares."""

import torch
from torch import Tensor


def expand(image: Tensor, maps: Tensor) -> Tensor:
    """Weight one image by the sensitivity of every coil: c_j(r) = s_j(r) x(r).

    Args:
        image: complex, shape `(... y x)`.
        maps: coil sensitivities, complex, shape `(... coil y x)`.

    Returns:
        Coil images `(... coil y x)`, in the unit of the image.

    Raises:
        ValueError: image and maps disagree in y or x.

    Reference:
        Pruessmann et al., SENSE: sensitivity encoding for fast MRI, 1999.

    Example:
        >>> maps = torch.tensor([0.6, 0.8j])[:, None, None]
        >>> expand(torch.ones(1, 1, dtype=torch.complex64), maps).flatten()
        tensor([0.6000+0.0000j, 0.0000+0.8000j])
    """
    _check_grids("image", image, maps)
    return image.unsqueeze(-3) * maps


def combine(coil_images: Tensor, maps: Tensor) -> Tensor:
    """Combine coil images to one image: x(r) = sum_j conj(s_j(r)) c_j(r); the adjoint of `expand`.

    Where sum_j |s_j|^2 = 1 it is also the inverse of `expand` and the SENSE image of fully sampled data.

    Args:
        coil_images: complex, shape `(... coil y x)`.
        maps: coil sensitivities, complex, shape `(... coil y x)`.

    Returns:
        Image `(... y x)`.

    Raises:
        ValueError: coil images and maps disagree in y or x, or in the number of coils.

    Example:
        >>> maps = torch.tensor([0.6, 0.8j])[:, None, None]
        >>> combine(torch.tensor([0.6, 0.8j])[:, None, None], maps)
        tensor([[1.+0.j]])
    """
    _check_grids("coil images", coil_images, maps)
    # One map would broadcast, and the result be a plain sum.
    if coil_images.shape[-3] != maps.shape[-3]:
        raise ValueError(
            f"coils: expected as many coil images as maps, received {coil_images.shape[-3]} and {maps.shape[-3]}"
        )
    return (coil_images * maps.conj()).sum(-3)


def root_sum_of_squares(coil_images: Tensor) -> Tensor:
    """Combine coil images without sensitivities: sqrt(sum_j |c_j|^2).

    Args:
        coil_images: complex, shape `(... coil y x)`.

    Returns:
        Real magnitude image `(... y x)`.

    Example:
        >>> root_sum_of_squares(torch.tensor([3.0, 4j])[:, None, None])
        tensor([[5.]])
    """
    magnitude: Tensor = torch.linalg.vector_norm(coil_images, dim=-3)
    return magnitude


def _check_grids(name: str, image: Tensor, maps: Tensor) -> None:
    if image.shape[-2:] != maps.shape[-2:]:
        raise ValueError(
            f"coils: expected {name} and maps on one (y, x) grid, "
            f"received {list(image.shape[-2:])} and {list(maps.shape[-2:])}"
        )
