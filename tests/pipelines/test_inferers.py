import pytest
import torch
from torch import nn

from kseg.pipelines.inferers import AutocastInferer

X = torch.linspace(-1, 1, 12).reshape(3, 4)


@pytest.fixture
def network(seeded: None) -> nn.Module:
    return nn.Linear(4, 5)


def test_the_network_runs_in_mixed_precision(network: nn.Module):
    result = AutocastInferer("cpu", "bfloat16")(X, network)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), network(X), rtol=0.02, atol=0.02)
    assert not torch.equal(result.float(), network(X))
    assert network(X).dtype == torch.float32


def test_float32_is_the_network_itself(network: nn.Module):
    assert torch.equal(AutocastInferer(torch.device("cpu"), "float32")(X, network), network(X))


def test_further_arguments_reach_the_network():
    def network(x: torch.Tensor, factor: int, *, offset: int) -> torch.Tensor:
        return x * factor + offset

    assert torch.equal(AutocastInferer()(X, network, 2, offset=1), 2 * X + 1)


@pytest.mark.parametrize("name", ["float64", "float16", "half"])
def test_another_precision_is_refused(name: str):
    with pytest.raises(ValueError, match=f"autocast: expected float32 or bfloat16, received '{name}'"):
        AutocastInferer("cpu", name)
