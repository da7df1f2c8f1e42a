"""ResNet-20 against its layer table and its paper, and its shortcuts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe import convnets
from layer_counts import Counts, check_counts, linear, normed
from written_out import Weights, check_features


def layers(channels: int, classes: int) -> list[Counts]:
    found, inputs = normed(channels, 16, 3, 32), 16
    for width, side in ((16, 32), (32, 16), (64, 8)):
        for _ in range(3):
            found += normed(inputs, width, 3, side) + normed(width, width, 3, side)
            inputs = width
    return [*found, linear(64, classes)]


def features(weights: Weights, maps: Tensor) -> Tensor:
    maps = weights.conv_norm_relu(maps)
    for width in (16, 32, 64):
        for _ in range(3):
            stride, shortcut = width // maps.shape[1], maps
            if stride == 2:
                shortcut = torch.cat([maps, torch.zeros_like(maps)], 1)[:, :, ::2, ::2]
            inner = weights.conv_norm_relu(maps, stride=stride)
            maps = F.relu(weights.norm(weights.conv(inner)) + shortcut)
    return maps.mean((2, 3))


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("resnet20", layers, features=64)


def test_features_are_those_of_the_layers_written_out() -> None:
    check_features("resnet20", features)


def test_published_parameters() -> None:
    assert sum(parameters for parameters, _ in layers(3, 10)) == pytest.approx(0.27e6, abs=0.01e6)


def test_shortcuts_have_no_parameters() -> None:
    block = convnets.build("resnet20", num_classes=10, image_shape=(1, 28, 28)).blocks[3].eval()
    torch.nn.init.zeros_(block.norm2.weight)
    maps = torch.rand(2, 16, 32, 32)
    out = block(maps)
    assert torch.equal(out[:, :16], maps[:, :, ::2, ::2]) and out[:, 16:].abs().max() == 0
