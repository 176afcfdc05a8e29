import numpy as np
import pytest
import torch

from kseg.transforms.seeds import item_generator, item_seed


def test_the_seed_is_the_upper_63_bits_of_the_digest_of_its_arguments():
    # printf "(0, 'head_01', 7)" | sha256sum, first 16 digits, shifted right by one bit
    assert item_seed(0, "head_01", 7) == 0x0DFBCC4ADFDCBD96 >> 1
    # printf "(2026,)" | sha256sum
    assert item_seed(2026) == 0xDD0B863FC50993D0 >> 1


def test_names_outside_ascii_are_escaped_the_same_everywhere():
    # printf '%s' "(0, 'K\\xf6rner')" | sha256sum
    assert item_seed(0, "Körner") == 0xC03F012BB0601515 >> 1


def test_seeds_of_neighbours_are_all_different_and_spread():
    seeds = {
        item_seed(seed, f"head_{head:02d}", slice_)
        for seed in range(5)
        for head in range(20)
        for slice_ in range(20)
    }
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert abs(np.mean([seed / 2**63 for seed in seeds]) - 0.5) < 4 / np.sqrt(12 * 2000)


def test_text_and_number_and_split_names_do_not_collide():
    seeds = {
        item_seed(0, "1"),
        item_seed(0, 1),
        item_seed(0, "a", "b"),
        item_seed(0, "ab"),
        item_seed(0, "a, b"),
    }
    assert len(seeds) == 5


def test_numbers_of_numpy_mean_the_same():
    assert item_seed(np.uint32(3), np.str_("head"), np.int64(7)) == item_seed(3, "head", 7)


@pytest.mark.parametrize("keys", [(1.0,), (None,), (b"head",), (torch.tensor(0.5),)])
def test_keys_that_do_not_name_an_item_are_refused(keys: tuple[object, ...]):
    with pytest.raises(TypeError, match=r"integer|__index__"):
        item_seed(0, *keys)


def test_a_seed_that_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        item_seed(0.5, "head")


def test_generators_of_one_item_agree_and_of_two_items_are_independent():
    first, again = (torch.randn(10_000, generator=item_generator(0, "head", 1)) for _ in range(2))
    other = torch.randn(10_000, generator=item_generator(0, "head", 2))
    assert torch.equal(first, again)
    assert abs(float(torch.corrcoef(torch.stack((first, other)))[0, 1])) < 0.04
