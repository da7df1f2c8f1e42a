"""AlexNet against its layer table, and its two branches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe import convnets
from layer_counts import Counts, check_counts, conv, linear
from written_out import Weights, check_features


def layers(channels: int, classes: int) -> list[Counts]:
    # Two groups: each half of the filters sees half of the channels, so half of the weights.
    return [
        conv(channels, 64, 3, 32, bias=True),
        conv(64 // 2, 192, 3, 16, bias=True),
        conv(192, 384, 3, 8, bias=True),
        conv(384 // 2, 256, 3, 8, bias=True),
        conv(256 // 2, 256, 3, 8, bias=True),
        linear(256 * 4 * 4, 1024),
        linear(1024, 1024),
        linear(1024, classes),
    ]


def features(weights: Weights, maps: Tensor) -> Tensor:
    for groups, is_pooled in ((1, True), (2, True), (1, False), (2, False), (2, True)):
        maps = F.relu(weights.conv(maps, bias=True, groups=groups))
        maps = F.max_pool2d(maps, 2) if is_pooled else maps
    return weights.linear_relu(weights.linear_relu(maps.flatten(1)))


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("alexnet", layers, features=1024)


def test_features_are_those_of_the_layers_written_out() -> None:
    check_features("alexnet", features)


def test_branches_do_not_see_each_other() -> None:
    model = convnets.build("alexnet", num_classes=10, image_shape=(1, 28, 28))
    second = model.convolutions[3]
    maps = torch.randn(1, 64, 16, 16)
    changed = maps.clone()
    changed[:, 32:] += 1
    assert torch.equal(second(maps)[:, :96], second(changed)[:, :96])
    assert not torch.equal(second(maps)[:, 96:], second(changed)[:, 96:])
