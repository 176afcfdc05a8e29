import pytest
import torch
from torch import Tensor

from kseg.transforms.testing import assert_adjoint, assert_isometry, assert_round_trip, assert_unitary

MATRIX = torch.randn(5, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(3))
UNITARY = torch.linalg.qr(
    torch.randn(4, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(4))
)[0]


def apply(x: Tensor) -> Tensor:
    return MATRIX @ x


def adjoint(y: Tensor) -> Tensor:
    return MATRIX.mH @ y


def test_a_matrix_and_its_conjugate_transpose_are_adjoint():
    assert_adjoint(apply, adjoint, (3,), (5,))


def test_real_operators_are_probed_with_real_noise():
    assert_adjoint(lambda x: MATRIX.real @ x, lambda y: MATRIX.real.T @ y, (3,), (5,), dtype=torch.float32)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda y: MATRIX.T @ y,
        lambda y: MATRIX.mH.roll(1, 0) @ y,
        lambda y: 1.001 * adjoint(y),
        lambda y: adjoint(y) + 1,
    ],
    ids=["no conjugate", "permuted", "scaled", "offset"],
)
def test_a_wrong_adjoint_fails(wrong):
    with pytest.raises(AssertionError, match=r"expected <Ax, y> = <x, A\^H y>, received a difference"):
        assert_adjoint(apply, wrong, (3,), (5,))


def test_an_antilinear_operator_has_no_adjoint():
    with pytest.raises(AssertionError, match="received a difference"):
        assert_adjoint(torch.conj, torch.conj, (64,), (64,))


def test_operators_multiplied_by_zero_fail():
    with pytest.raises(AssertionError, match="expected operators that return something, received zero"):
        assert_adjoint(lambda x: 0 * apply(x), lambda y: 0 * adjoint(y), (3,), (5,))


def test_nan_fails():
    with pytest.raises(AssertionError, match="received a difference of nan"):
        assert_adjoint(lambda x: apply(x) * float("nan"), adjoint, (3,), (5,))
    with pytest.raises(AssertionError, match="received a difference of nan"):
        assert_round_trip(lambda x: x * float("nan"), lambda y: y, torch.ones(2), tolerance=1.0)


def test_both_shapes_are_checked():
    with pytest.raises(AssertionError, match=r"forward: expected shape \(4,\), received \(5,\)"):
        assert_adjoint(apply, adjoint, (3,), (4,))
    with pytest.raises(AssertionError, match=r"adjoint: expected shape \(3,\), received \(1, 3\)"):
        assert_adjoint(apply, lambda y: adjoint(y)[None], (3,), (5,))
    with pytest.raises(AssertionError, match=r"isometry: expected shape \(3,\), received \(4,\)"):
        assert_isometry(lambda x: UNITARY @ x, (4,), (3,))
    with pytest.raises(AssertionError, match=r"round trip: expected shape \(2, 3\), received \(3, 2\)"):
        assert_round_trip(lambda x: x, lambda y: y.T, torch.zeros(2, 3))


def test_columns_of_a_unitary_matrix_are_an_isometry_but_its_rows_are_not():
    assert_isometry(lambda x: UNITARY[:, :2] @ x, (2,), (4,))
    with pytest.raises(AssertionError, match=r"expected <Ax, Ay> = <x, y>, received a difference"):
        assert_isometry(lambda x: UNITARY[:2] @ x, (4,), (2,))


def test_an_operator_that_keeps_norms_but_not_angles_is_no_isometry():
    with pytest.raises(AssertionError, match="received a difference"):
        assert_isometry(torch.conj, (4,), (4,))


def test_a_unitary_matrix_passes_and_its_wrong_inverses_fail():
    assert_unitary(lambda x: UNITARY @ x, lambda y: UNITARY.mH @ y, (4,))
    with pytest.raises(AssertionError, match="adjoint: expected"):
        assert_unitary(lambda x: UNITARY @ x, lambda y: UNITARY.T @ y, (4,))
    with pytest.raises(AssertionError, match="isometry: expected"):
        assert_unitary(lambda x: 2 * x, lambda y: y / 2, (4,))


def test_a_round_trip_is_exact_unless_a_tolerance_is_given():
    value = torch.tensor([1.0, 1000.0])
    assert_round_trip(lambda x: x + 1, lambda y: y - 1, value)
    with pytest.raises(AssertionError, match=r"received a difference of 1\.0e-03"):
        assert_round_trip(lambda x: x, lambda y: y + 1, value)
    assert_round_trip(lambda x: x, lambda y: y + 1, value, tolerance=2e-3)


def test_a_round_trip_keeps_the_number_type():
    with pytest.raises(AssertionError, match=r"round trip: expected torch\.float32, received torch\.float64"):
        assert_round_trip(lambda x: x.double(), lambda y: y, torch.ones(2))
