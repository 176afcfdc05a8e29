import pytest
import torch

from kseg.pipelines.prepare_batch import PrepareBatch

BATCH = {
    "image": torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)),
    "label": torch.ones(2, 1, 4, 5, dtype=torch.uint8),
    "reference": torch.full((2, 2, 4, 5), 0.5),
    "subject": ["a", "b"],
}


def test_one_target_is_a_tensor_of_its_kind():
    image, label = PrepareBatch()(BATCH, "cpu")
    assert torch.equal(image, BATCH["image"])
    assert torch.equal(label, BATCH["label"])
    assert label.dtype == torch.uint8


def test_several_targets_are_a_tuple_in_their_order_on_the_device():
    image, targets = PrepareBatch(["reference", "label"])(BATCH, torch.device("meta"), non_blocking=True)
    assert isinstance(targets, tuple)
    assert [target.shape[1] for target in targets] == [2, 1]
    assert {value.device.type for value in (image, *targets)} == {"meta"}


def test_no_target_and_missing_ones_are_refused():
    with pytest.raises(ValueError, match="prepare batch: expected at least one target, received none"):
        PrepareBatch([])
    expected = "expected reference in the batch, received image, label"
    with pytest.raises(ValueError, match=expected):
        PrepareBatch(["reference", "label"])({"image": BATCH["image"], "label": BATCH["label"]})
