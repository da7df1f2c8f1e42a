"""Parameters and multiply-adds of a network, counted from its layer table."""

from __future__ import annotations

from collections.abc import Callable

from ganscribe import convnets
from ganscribe.training.cost import count_flops, count_parameters

Counts = tuple[int, int]  # parameters, multiply-adds of one image


def conv(inputs: int, outputs: int, size: int, side: int, *, bias: bool = False) -> Counts:
    """A convolution whose output is `side` x `side`."""
    weights = inputs * outputs * size**2
    return weights + outputs * bias, weights * side**2


def norm(channels: int) -> Counts:
    return 2 * channels, 0


def normed(inputs: int, outputs: int, size: int, side: int) -> list[Counts]:
    return [conv(inputs, outputs, size, side), norm(outputs)]


def linear(inputs: int, outputs: int) -> Counts:
    return (inputs + 1) * outputs, inputs * outputs


def vgg(column: list[list[int]], channels: int, classes: int) -> list[Counts]:
    """A column of the paper's table 1: the widths of the convolutions before each maxpool."""
    found, side = [], 32
    for widths in column:
        for width in widths:
            found += normed(channels, width, 3, side)
            channels = width
        side //= 2
    return [*found, linear(512, 512), linear(512, 512), linear(512, classes)]


def check_counts(name: str, layers: Callable[[int, int], list[Counts]], *, features: int) -> None:
    """Compare the network `name` with `layers` of (channels, classes), for two shapes of images."""
    for shape, classes in (((1, 28, 28), 10), ((3, 32, 32), 7)):
        model = convnets.build(name, num_classes=classes, image_shape=shape)
        counts = layers(shape[0], classes)
        assert count_parameters(model) == sum(parameters for parameters, _ in counts)
        assert count_flops(model, shape) == 2 * sum(products for _, products in counts)
        assert model.classifier.in_features == features
