import pytest
import torch
from torch import Tensor

from kseg.transforms.coil_mixing import compress_coils, noise_covariance, prewhiten


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def coupling() -> Tensor:
    """How four coils pick up the noise of four independent sources, of very different strength."""
    return noise(4, 4, seed=1) * torch.tensor([1e-3, 1.0, 20.0, 5.0])[:, None]


class TestWhitening:
    def test_the_covariance_of_mixed_white_noise_is_that_of_the_mixture(self, coupling):
        covariance = noise_covariance(coupling @ noise(4, 200_000))
        scale = torch.outer(*2 * [coupling.norm(dim=1)])
        assert covariance.dtype == torch.complex128
        assert ((covariance - coupling @ coupling.mH).abs() < 0.01 * scale).all()
        torch.testing.assert_close(covariance, covariance.mH)

    def test_whitened_noise_has_unit_covariance(self, coupling):
        calibration = coupling @ noise(4, 100_000)
        scan = (coupling @ noise(4, 200 * 150, seed=2)).reshape(4, 200, 150)
        whitened = prewhiten(scan, noise_covariance(calibration))
        found = noise_covariance(whitened.flatten(1))
        assert (found - torch.eye(4)).abs().max() < 0.02
        assert abs(float(whitened.real.var()) - 0.5) < 0.01
        # The wrong twin: the factor that mixes noise instead of the one that takes the mixture back.
        coloured = torch.einsum("cd,dyx->cyx", coupling, scan)
        assert (noise_covariance(coloured.flatten(1)) - torch.eye(4)).abs().max() > 1

    def test_its_own_noise_becomes_white_exactly(self, coupling):
        calibration = coupling @ noise(4, 64)
        whitened = prewhiten(calibration[..., None], noise_covariance(calibration))
        torch.testing.assert_close(
            noise_covariance(whitened[..., 0]), torch.eye(4).to(torch.complex128), atol=1e-5, rtol=0
        )

    def test_every_slice_is_mixed_alike(self, coupling):
        kspace, covariance = noise(3, 4, 6, 5), coupling @ coupling.mH
        torch.testing.assert_close(prewhiten(kspace, covariance)[1], prewhiten(kspace[1], covariance))

    def test_what_is_no_noise_of_these_coils_is_refused(self):
        with pytest.raises(ValueError, match=r"^noise: expected more samples than 4 coils, received 4$"):
            noise_covariance(noise(4, 4))
        with pytest.raises(ValueError, match=r"^noise: expected finite samples, received NaN or infinite$"):
            noise_covariance(noise(2, 9) / 0)
        with pytest.raises(
            ValueError, match=r"^noise: expected the covariance of 3 coils, received \[2, 2\]$"
        ):
            prewhiten(noise(3, 5, 5), torch.eye(2))
        for covariance in (torch.diag(torch.tensor([1.0, 0.0])), torch.full((2, 2), torch.nan)):
            with pytest.raises(
                ValueError, match=r"^noise: expected a positive covariance, received a singular one$"
            ):
                prewhiten(noise(2, 5, 5), covariance)


class TestCompression:
    def test_virtual_coils_hold_the_energy_of_the_leading_singular_values(self):
        kspace = noise(2, 6, 12, 10) * torch.logspace(0, -2, 6)[:, None, None]
        values = torch.linalg.svdvals(kspace.movedim(1, 0).flatten(1))
        for n_virtual in range(1, 7):
            virtual = compress_coils(kspace, n_virtual)
            assert virtual.shape == (2, n_virtual, 12, 10)
            torch.testing.assert_close(
                virtual.abs().square().sum(), values[:n_virtual].square().sum(), rtol=1e-4, atol=0
            )
        # The wrong twin: the same number of real coils holds less.
        last = kspace.flip(1)
        assert last[:, :2].norm() < 0.1 * compress_coils(last, 2).norm()

    def test_the_strongest_virtual_coil_comes_first(self):
        energy = compress_coils(noise(6, 12, 10), 4).abs().square().sum((1, 2))
        assert (energy.diff() < 0).all()

    def test_coils_that_depend_on_each_other_lose_nothing(self):
        kspace = torch.einsum("cs,zsyx->zcyx", noise(9, 3, seed=1), noise(2, 3, 12, 10))
        virtual = compress_coils(kspace, 3)
        torch.testing.assert_close(
            torch.linalg.vector_norm(virtual, dim=1), torch.linalg.vector_norm(kspace, dim=1)
        )

    def test_samples_that_were_not_measured_stay_empty(self):
        mask = torch.rand(12, 10, generator=torch.Generator().manual_seed(0)) < 0.4
        virtual = compress_coils(noise(2, 5, 12, 10) * mask, 2)
        assert torch.equal((virtual != 0).all(1), mask.expand(2, 12, 10))
        assert not virtual[:, :, ~mask].any()

    def test_white_noise_stays_white(self):
        virtual = compress_coils(noise(1, 8, 300, 200), 3)
        assert (noise_covariance(virtual[0].flatten(1)) - torch.eye(3)).abs().max() < 0.03

    def test_enough_coils_are_left_alone(self):
        kspace = noise(2, 3, 4, 5)
        assert compress_coils(kspace, 3) is kspace
        assert compress_coils(kspace, 8) is kspace

    def test_no_virtual_coil(self):
        with pytest.raises(
            ValueError, match=r"^coil compression: expected at least 1 virtual coil, received 0$"
        ):
            compress_coils(noise(2, 3, 3), 0)
