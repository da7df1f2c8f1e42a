"""LeNet-5: the counts of its layer table, shapes, gradients."""

from __future__ import annotations

import pytest
import torch

from ganscribe import convnets


def count_from_table(channels: int, num_classes: int) -> int:
    """Weights and biases of the layers in spec section 5, by hand."""
    convolutions = 6 * (channels * 25 + 1) + 16 * (6 * 25 + 1)
    return convolutions + 120 * (16 * 5 * 5 + 1) + 84 * (120 + 1) + num_classes * (84 + 1)


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_classes", [10, 7])
def test_parameters_follow_from_the_layer_table(size: int, channels: int, num_classes: int) -> None:
    model = convnets.build("lenet5", num_classes=num_classes, image_shape=(channels, size, size))
    assert sum(p.numel() for p in model.parameters()) == count_from_table(channels, num_classes)


def test_published_count() -> None:
    assert count_from_table(1, 10) == 61_706


@pytest.mark.parametrize("size", [28, 32])
def test_shapes_and_a_gradient_for_every_parameter(size: int) -> None:
    torch.manual_seed(0)
    model = convnets.build("lenet5", num_classes=10, image_shape=(3, size, size))
    images = torch.randn(4, 3, size, size)
    features, scores = model.features(images), model(images)
    assert features.shape == (4, 84) and features.min() >= 0
    torch.testing.assert_close(model.classifier(features), scores)

    scores.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_28_pixels_are_zero_padded_to_32() -> None:
    small = convnets.build("lenet5", num_classes=10, image_shape=(1, 28, 28))
    large = convnets.build("lenet5", num_classes=10, image_shape=(1, 32, 32))
    large.load_state_dict(small.state_dict())
    images = torch.randn(2, 1, 28, 28)
    padded = torch.zeros(2, 1, 32, 32)
    padded[:, :, 2:30, 2:30] = images
    torch.testing.assert_close(small(images), large(padded))


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("lenet", (1, 28, 28), {}, "choose one of.*lenet5"),
        ("lenet5", (1, 30, 30), {}, "28, 28"),
        ("lenet5", (28, 28), {}, "28, 28"),
        ("lenet5", (1, 28, 28), {"width": 2}, "width"),
    ],
)
def test_bad_names_shapes_and_options(name: str, shape: tuple[int, ...], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convnets.build(name, num_classes=10, image_shape=shape, **options)
