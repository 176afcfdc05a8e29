"""Assertions for linear operators and pairs of inverses, for tests here and in what is built on this package.

Operators are probed with complex Gaussian noise, so that a missing conjugate or a shifted centre cannot hide
behind symmetry. Errors are relative to norms that do not cancel.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


def assert_adjoint(
    forward: Operator,
    adjoint: Operator,
    domain: Sequence[int],
    codomain: Sequence[int],
    *,
    dtype: torch.dtype = torch.complex64,
    tolerance: float = 1e-5,
) -> None:
    """Check <A x, y> = <x, A^H y> for random x and y, relative to |A x| |y| and |x| |A^H y|.

    Args:
        forward: A.
        adjoint: what claims to be A^H.
        domain: shape of x.
        codomain: shape of y.
        dtype: number type of x and y.
        tolerance: largest difference, relative to the smaller product of norms.

    Raises:
        AssertionError: a shape differs, an operator returns zero, or the products differ.

    Example:
        >>> assert_adjoint(lambda x: 1j * x, lambda y: -1j * y, (3,), (3,))
        >>> assert_adjoint(lambda x: 1j * x, lambda y: 1j * y, (3,), (3,))
        Traceback (most recent call last):
        AssertionError: adjoint: expected <Ax, y> = <x, A^H y>, received a difference of ... |Ax||y|
    """
    generator = torch.Generator().manual_seed(0)
    x, y = _noise(domain, dtype, generator), _noise(codomain, dtype, generator)
    image = forward(x)
    _require_shape("forward", image, codomain)
    back = adjoint(y)
    _require_shape("adjoint", back, domain)
    scale = min(_norm(image) * _norm(y), _norm(x) * _norm(back))
    if scale == 0:
        raise AssertionError("adjoint: expected operators that return something, received zero")
    error = abs(_inner(image, y) - _inner(x, back)) / scale
    if not error <= tolerance:
        raise AssertionError(
            f"adjoint: expected <Ax, y> = <x, A^H y>, received a difference of {error:.1e} |Ax||y|"
        )


def assert_isometry(
    operator: Operator,
    domain: Sequence[int],
    codomain: Sequence[int],
    *,
    dtype: torch.dtype = torch.complex64,
    tolerance: float = 1e-5,
) -> None:
    """Check that a linear operator keeps inner products: <A x, A y> = <x, y> and |A x| = |x|.

    Args:
        operator: A.
        domain: shape of x and y.
        codomain: shape of A x.
        dtype: number type of x and y.
        tolerance: largest difference, relative to |x| |y|.

    Raises:
        AssertionError: a shape or a product differs.

    Example:
        >>> assert_isometry(lambda x: torch.cat((0.6 * x, 0.8j * x)), (3,), (6,))
    """
    generator = torch.Generator().manual_seed(0)
    x, y = _noise(domain, dtype, generator), _noise(domain, dtype, generator)
    image_x, image_y = operator(x), operator(y)
    _require_shape("isometry", image_x, codomain)
    for first, second, expected in (
        (image_x, image_x, _inner(x, x)),
        (image_x, image_y, _inner(x, y)),
    ):
        error = abs(_inner(first, second) - expected) / (_norm(x) * _norm(y))
        if not error <= tolerance:
            raise AssertionError(
                f"isometry: expected <Ax, Ay> = <x, y>, received a difference of {error:.1e} |x||y|"
            )


def assert_unitary(
    forward: Operator,
    inverse: Operator,
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.complex64,
    tolerance: float = 1e-5,
) -> None:
    """Check that two operators on one space are isometries, adjoint and inverse to each other.

    Args:
        forward: A.
        inverse: what claims to be A^-1 = A^H.
        shape: shape of x and of A x.
        dtype: number type of x.
        tolerance: largest difference, see `assert_adjoint`, `assert_isometry` and `assert_round_trip`.

    Raises:
        AssertionError: one of these does not hold.

    Example:
        >>> assert_unitary(lambda x: 1j * x, lambda y: -1j * y, (3,))
    """
    for operator in (forward, inverse):
        assert_isometry(operator, shape, shape, dtype=dtype, tolerance=tolerance)
    assert_adjoint(forward, inverse, shape, shape, dtype=dtype, tolerance=tolerance)
    probe = _noise(shape, dtype, torch.Generator().manual_seed(1))
    assert_round_trip(forward, inverse, probe, tolerance=tolerance)
    assert_round_trip(inverse, forward, probe, tolerance=tolerance)


def assert_round_trip(forward: Operator, back: Operator, value: Tensor, *, tolerance: float = 0.0) -> None:
    """Check that a value survives the way there and back: shape, number type and every element.

    Args:
        forward: the way there.
        back: the way back.
        value: any tensor.
        tolerance: largest difference of an element, relative to the largest magnitude; 0 for bit for bit.

    Raises:
        AssertionError: something differs.

    Example:
        >>> assert_round_trip(lambda x: x.flip(0), lambda y: y.flip(0), torch.arange(3))
    """
    received = back(forward(value))
    _require_shape("round trip", received, value.shape)
    if received.dtype != value.dtype:
        raise AssertionError(f"round trip: expected {value.dtype}, received {received.dtype}")
    if torch.equal(received, value):
        return
    largest = max(float(_wide(value).abs().max()), torch.finfo(torch.float64).tiny)
    error = float((_wide(received) - _wide(value)).abs().max()) / largest
    if not error <= tolerance:
        raise AssertionError(f"round trip: expected the same values, received a difference of {error:.1e}")


def _noise(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), dtype=dtype, generator=generator)


def _require_shape(name: str, value: Tensor, shape: Sequence[int]) -> None:
    if tuple(value.shape) != tuple(shape):
        raise AssertionError(f"{name}: expected shape {tuple(shape)}, received {tuple(value.shape)}")


def _inner(first: Tensor, second: Tensor) -> complex:
    return complex(torch.vdot(_wide(first), _wide(second)))


def _norm(value: Tensor) -> float:
    return float(torch.linalg.vector_norm(_wide(value)))


def _wide(value: Tensor) -> Tensor:
    return value.flatten().to(torch.complex128)
