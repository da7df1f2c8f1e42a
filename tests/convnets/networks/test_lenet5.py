"""LeNet-5 against its layer table."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from layer_counts import Counts, check_counts, conv, linear
from written_out import Weights, check_features


def layers(channels: int, classes: int) -> list[Counts]:
    # 28 x 28 after the first convolution, 10 x 10 after the second: no padding.
    convolutions = [conv(channels, 6, 5, 28, bias=True), conv(6, 16, 5, 10, bias=True)]
    return [*convolutions, linear(16 * 5 * 5, 120), linear(120, 84), linear(84, classes)]


def features(weights: Weights, maps: Tensor) -> Tensor:
    for _ in range(2):
        maps = weights.conv(maps, bias=True)[:, :, 2:-2, 2:-2]  # without padding
        maps = F.max_pool2d(F.relu(maps), 2)
    return weights.linear_relu(weights.linear_relu(maps.flatten(1)))


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("lenet5", layers, features=84)


def test_features_are_those_of_the_layers_written_out() -> None:
    check_features("lenet5", features)


def test_published_parameters() -> None:
    """For one channel, as the network is used today."""
    assert sum(parameters for parameters, _ in layers(1, 10)) == 61_706
