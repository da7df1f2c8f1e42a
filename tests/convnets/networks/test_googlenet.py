"""GoogLeNet against its layer table and its paper's, and its auxiliary heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Dropout

from ganscribe import convnets
from ganscribe.convnets.common.building import head_weights
from layer_counts import Counts, check_counts, linear, normed
from written_out import Weights, check_features

# Szegedy et al. 2014, table 1: output, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj, params in thousands.
INCEPTIONS = {
    "3a": (256, 64, 96, 128, 16, 32, 32, 159),
    "3b": (480, 128, 128, 192, 32, 96, 64, 380),
    "4a": (512, 192, 96, 208, 16, 48, 64, 364),
    "4b": (512, 160, 112, 224, 24, 64, 64, 437),
    "4c": (512, 128, 128, 256, 24, 64, 64, 463),
    "4d": (528, 112, 144, 288, 32, 64, 64, 580),
    "4e": (832, 256, 160, 320, 32, 128, 128, 840),
    "5a": (832, 256, 160, 320, 32, 128, 128, 1072),
    "5b": (1024, 384, 192, 384, 48, 128, 128, 1388),
}


def inception(name: str, channels: int, side: int) -> list[Counts]:
    _, one, three_reduce, three, five_reduce, five, pool, _ = INCEPTIONS[name]
    branches = [(channels, one, 1), (channels, three_reduce, 1), (three_reduce, three, 3)]
    branches += [(channels, five_reduce, 1), (five_reduce, five, 5), (channels, pool, 1)]
    return [count for branch in branches for count in normed(*branch, side)]


def layers(channels: int, classes: int) -> list[Counts]:
    found, inputs = normed(channels, 192, 3, 32), 192
    for name, columns in INCEPTIONS.items():
        found += inception(name, inputs, {"3": 32, "4": 16, "5": 8}[name[0]])
        inputs = columns[0]
    for inputs in (512, 528):  # the auxiliary heads cost parameters, but nothing outside training
        head = [*normed(inputs, 128, 1, 4), linear(128 * 4 * 4, 1024), linear(1024, classes)]
        found += [(parameters, 0) for parameters, _ in head]
    return [*found, linear(1024, classes)]


def features(weights: Weights, maps: Tensor) -> Tensor:
    maps = weights.conv_norm_relu(maps)
    for name in INCEPTIONS:
        branches = [weights.conv_norm_relu(maps)]
        branches += [weights.conv_norm_relu(weights.conv_norm_relu(maps)) for _ in ("3x3", "5x5")]
        branches += [weights.conv_norm_relu(F.max_pool2d(maps, 3, stride=1, padding=1))]
        maps = torch.cat(branches, 1)
        if name in ("3b", "4e"):
            maps = F.max_pool2d(maps, 3, stride=2, padding=1)
    return maps.mean((2, 3))


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("googlenet", layers, features=1024)


def test_features_are_those_of_the_layers_written_out() -> None:
    check_features("googlenet", features)


def test_inception_blocks_against_the_paper_s_own_column() -> None:
    """Its column of parameters (in units of 1,024) is up to 8% off its own table of filters."""
    inputs = 192
    for name, columns in INCEPTIONS.items():
        weights = sum(p for p, products in inception(name, inputs, 1) if products)
        assert weights / 1024 == pytest.approx(columns[-1], rel=0.08)
        assert columns[1] + columns[3] + columns[5] + columns[6] == columns[0]
        inputs = columns[0]


def test_auxiliary_heads_are_for_training_only() -> None:
    model = convnets.build("googlenet", num_classes=10, image_shape=(1, 28, 28))
    images = torch.randn(2, 1, 28, 28)
    assert head_weights("googlenet") == (1.0, 0.3, 0.3)
    dropouts = [layer.p for layer in model.get_submodule("heads").modules() if isinstance(layer, Dropout)]
    assert dropouts == [0.7, 0.7]  # section 5
    assert len(model.train()(images)) == 3 and model.eval()(images).shape == (2, 10)
