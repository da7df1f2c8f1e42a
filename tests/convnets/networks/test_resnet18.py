"""ResNet-18 against its layer table."""

from __future__ import annotations

from layer_counts import Counts, check_counts, linear, normed


def layers(channels: int, classes: int) -> list[Counts]:
    found, inputs = normed(channels, 64, 3, 32), 64
    for width, side in ((64, 32), (128, 16), (256, 8), (512, 4)):
        for block in range(2):
            found += normed(inputs, width, 3, side) + normed(width, width, 3, side)
            if block == 0 and inputs != width:
                found += normed(inputs, width, 1, side)
            inputs = width
    return [*found, linear(512, classes)]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("resnet18", layers, features=512)
