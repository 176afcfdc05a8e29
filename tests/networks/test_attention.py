import torch

from kseg.networks.attention import class_attention


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 2, 5, 4, generator=generator)
    return image, torch.randn(3, 4, 5, 4, generator=generator).softmax(1)


def test_channel_pairs_are_the_image_times_the_map_of_their_class():
    image, probabilities = inputs()
    attention = class_attention(image, probabilities)
    assert attention.shape == (3, 2 * 4, 5, 4)
    for index in range(4):
        expected = probabilities[:, index : index + 1] * image
        assert torch.equal(attention[:, 2 * index : 2 * index + 2], expected)


def test_the_classes_together_are_the_image():
    image, probabilities = inputs()
    summed = class_attention(image, probabilities).unflatten(1, (4, 2)).sum(1)
    torch.testing.assert_close(summed, image)


def test_certainty_passes_one_class_alone():
    image, probabilities = inputs()
    certain = torch.zeros_like(probabilities)
    certain[:, 2] = 1
    attention = class_attention(image, certain)
    assert torch.equal(attention[:, 4:6], image)
    assert not attention[:, [0, 1, 2, 3, 6, 7]].any()
