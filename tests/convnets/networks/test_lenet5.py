"""LeNet-5 against its layer table."""

from __future__ import annotations

from layer_counts import Counts, check_counts, conv, linear


def layers(channels: int, classes: int) -> list[Counts]:
    # 28 x 28 after the first convolution, 10 x 10 after the second: no padding.
    convolutions = [conv(channels, 6, 5, 28, bias=True), conv(6, 16, 5, 10, bias=True)]
    return [*convolutions, linear(16 * 5 * 5, 120), linear(120, 84), linear(84, classes)]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("lenet5", layers, features=84)


def test_published_parameters() -> None:
    """For one channel, as the network is used today."""
    assert sum(parameters for parameters, _ in layers(1, 10)) == 61_706
