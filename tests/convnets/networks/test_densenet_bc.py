"""DenseNet-BC against its layer table and its paper, and what it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganscribe import convnets
from layer_counts import Counts, check_counts, conv, linear, norm
from written_out import Weights, check_features


def layers(channels: int, classes: int) -> list[Counts]:
    found, width = [conv(channels, 24, 3, 32)], 24
    for side in (32, 16, 8):
        for _ in range(16):  # 3 x 16 x 2 + 1 + 2 + 1 = 100 layers
            found += [norm(width), conv(width, 48, 1, side), norm(48), conv(48, 12, 3, side)]
            width += 12
        if side > 8:
            found += [norm(width), conv(width, width // 2, 1, side)]
            width //= 2
    return [*found, norm(width), linear(width, classes)]


def features(weights: Weights, maps: Tensor) -> Tensor:
    maps = weights.conv(maps)
    for block in range(3):
        if block:
            maps = F.avg_pool2d(weights.norm_relu_conv(maps), 2)
        for _ in range(16):
            maps = torch.cat([maps, weights.norm_relu_conv(weights.norm_relu_conv(maps))], 1)
    return F.relu(weights.norm(maps)).mean((2, 3))


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("densenet_bc", layers, features=342)


def test_features_are_those_of_the_layers_written_out() -> None:
    check_features("densenet_bc", features)


def test_published_parameters() -> None:
    assert sum(parameters for parameters, _ in layers(3, 10)) == pytest.approx(0.8e6, abs=0.1e6)


def test_dropout_comes_after_each_convolution_but_the_first() -> None:
    model = convnets.build("densenet_bc", num_classes=10, image_shape=(1, 28, 28), depth=16, dropout=0.2)
    kinds = [type(module) for module in model.modules() if isinstance(module, nn.Conv2d | nn.Dropout)]
    assert kinds == [nn.Conv2d, *[nn.Conv2d, nn.Dropout] * (6 * 2 + 2)]
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.2}


@pytest.mark.parametrize("depth", [4, 99])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=r"6n \+ 4"):
        convnets.build("densenet_bc", num_classes=10, image_shape=(1, 28, 28), depth=depth)
