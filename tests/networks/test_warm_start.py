import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kseg.networks.seranet import SERANet
from kseg.networks.warm_start import load_exactly, load_weights, read_checkpoint, read_weights, warm_start
from kseg.transforms.errors import InputError

Make = Callable[..., SERANet]


class Payload:
    """Writes a file when it is unpickled without care."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.victim, "ran")


@pytest.fixture
def two(make_network: Make) -> tuple[SERANet, SERANet]:
    """Networks of one shape with different weights."""
    return make_network(), make_network()


def equal(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


def one_line(path: Path, stage: str, expected: str, received: str) -> str:
    return "^" + re.escape(f"{path}: {stage}: expected {expected}, received {received}")


def refused(path: Path, expected: str, received: str):
    return pytest.raises(InputError, match=one_line(path, "load weights", expected, received))


def test_all_weights_come_back(two, tmp_path):
    written, network = two
    torch.save(written.state_dict(), tmp_path / "model.pt")
    assert not equal(network, written)
    load_weights(network, tmp_path / "model.pt")
    assert equal(network, written)


@pytest.mark.parametrize("whole", [True, False])
def test_parts_come_from_files_of_the_part_or_of_a_whole_network(whole, two, make_network, tmp_path):
    _, network = two
    joint = make_network(n_recurrences=0)
    source = joint if whole else joint.segmenter
    torch.save(source.state_dict(), tmp_path / "joint.pt")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    warm_start(network, {"segmenter": tmp_path / "joint.pt"})
    assert equal(network.segmenter, joint.segmenter)
    others = [name for name in before if not name.startswith("segmenter.")]
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in others)


def test_a_pretrained_joint_model_starts_a_recurrent_one(two, make_network, tmp_path):
    _, network = two
    joint = make_network(n_recurrences=0)
    torch.save(joint.state_dict(), tmp_path / "joint.pt")
    warm_start(network, dict.fromkeys(("reconstruction", "segmenter"), tmp_path / "joint.pt"))
    x = torch.ones(1, 3, 12, 10)
    torch.testing.assert_close(network.unroll(x)[1][0], joint(x))


def test_nothing_to_start_from_changes_nothing(two):
    first, second = two
    second.load_state_dict(first.state_dict())
    warm_start(second, {})
    assert equal(first, second)


def test_another_part_is_refused(two, tmp_path):
    with pytest.raises(
        ValueError,
        match="warm start: expected a part among reconstruction, segmenter, attention, received 'encoder'",
    ):
        warm_start(two[0], {"encoder": tmp_path / "any.pt"})


def test_a_missing_file_is_refused(two, tmp_path):
    with refused(tmp_path / "none.pt", "a file", "No such file or directory"):
        load_weights(two[0], tmp_path / "none.pt")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_truncated_file_is_refused(kept, two, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(two[0].state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    expected = "a file with content" if kept == 0 else "an intact file of torch.save"
    received = "an empty file" if kept == 0 else "BadZipFile: File is not a zip file"
    with refused(path, expected, received):
        load_weights(two[1], path)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.8])
def test_one_flipped_bit_is_refused(where, two, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"values": torch.zeros(1000)}, path)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(content)
    with refused(path, "an intact file of torch.save", "a wrong checksum of model/data/0"):
        read_weights(path)


def test_code_in_the_file_is_not_run(two, tmp_path):
    path, victim = tmp_path / "model.pt", tmp_path / "victim"
    torch.save({"weights": Payload(victim)}, path)
    with refused(path, "tensors by name", "objects that could run code when read"):
        load_weights(two[0], path)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("content", "received"),
    [([1, 2], "list"), ({"epoch": 3}, "epoch of type int"), ({"model": {}}, "model of type dict")],
)
def test_anything_but_tensors_by_name_is_refused(content, received, two, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    with refused(tmp_path / "model.pt", "tensors by name", received):
        load_weights(two[0], tmp_path / "model.pt")


def test_a_checkpoint_may_hold_numbers_besides(tmp_path):
    torch.save({"epoch": 3, "best": -float("inf"), "network": {"weight": torch.ones(2)}}, tmp_path / "a.pt")
    checkpoint = read_checkpoint(tmp_path / "a.pt", "resume")
    assert checkpoint["epoch"] == 3
    assert torch.equal(checkpoint["network"]["weight"], torch.ones(2))
    with pytest.raises(InputError, match=one_line(tmp_path / "b.pt", "resume", "a file", "No such file")):
        read_checkpoint(tmp_path / "b.pt", "resume")


def test_renamed_tensors_are_refused_by_name(two, tmp_path):
    network, path = two[0], tmp_path / "model.pt"
    state = {name.replace("segmenter.", "unet."): value for name, value in network.state_dict().items()}
    torch.save(state, path)
    n = len(network.segmenter.state_dict())
    expected = f"expected the {len(network.state_dict())} tensors of SERANet"
    received = rf"received {n} missing \(segmenter\.\S+, .*, \.\.\.\), {n} left over \(unet\."
    with pytest.raises(InputError, match=f"{expected}, {received}"):
        load_weights(network, path)


def test_weights_of_a_network_without_attention_are_refused_as_a_whole(two, make_network, tmp_path):
    torch.save(make_network(n_recurrences=0).state_dict(), tmp_path / "joint.pt")
    with pytest.raises(InputError, match=r"missing \(attention\..*\), 0 left over \(none\)$"):
        load_weights(two[0], tmp_path / "joint.pt")


def test_another_shape_is_refused(two, make_network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(make_network(n_filters=5).state_dict(), path)
    name = "reconstruction.blocks.0.correction.0.weight"
    with refused(path, f"{name} of shape [4, 2, 3, 3]", "shape [5, 2, 3, 3]"):
        load_weights(two[0], path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_and_nothing_is_loaded(value: float, two, tmp_path):
    written, network = two
    path, name = tmp_path / "model.pt", "segmenter.decoder.output.bias"
    state: dict[str, Tensor] = written.state_dict()
    state[name][0] = value
    torch.save(state, path)
    before = network.segmenter.decoder.output.weight.clone()
    with refused(path, f"finite values in {name}", "NaN or infinity"):
        load_weights(network, path)
    assert torch.equal(network.segmenter.decoder.output.weight, before)


def test_messages_name_the_stage_they_are_given(two):
    with pytest.raises(InputError, match=r"^here: resume training: expected the"):
        load_exactly(two[0], {}, "here", "resume training")
