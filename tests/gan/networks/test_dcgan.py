"""The DCGAN against the layer list and the parameter counts of its course, CS231n's assignment 3."""

from __future__ import annotations

import math

import pytest
from torch import nn

import gans
from ganscribe.training.cost import count_parameters

# (inputs, outputs, kernel area) of every layer with weights and biases, and the widths of batch norms: read off
# the course's list of layers, not off the modules; and what the course's own notebook prints.
LAYERS = {
    "discriminator": ([(1, 32, 25), (32, 64, 25), (4 * 4 * 64, 1024, 1), (1024, 1, 1)], [], 1102721),
    "generator": (
        [(gans.NOISE, 1024, 1), (1024, 7 * 7 * 128, 1), (128, 64, 16), (64, 1, 16)],
        [1024, 7 * 7 * 128, 64],
        6580801,
    ),
}


@pytest.mark.parametrize("part", LAYERS)
def test_parameter_counts_are_the_layer_list_s_and_the_course_s(part: str) -> None:
    layers, norms, published = LAYERS[part]
    assert gans.layer_parameters(layers, norms) == published
    assert count_parameters(gans.build("dcgan", part)) == published


def test_it_starts_xavier_uniform() -> None:
    for part in LAYERS:
        for module in gans.build("dcgan", part).modules():
            if isinstance(module, nn.Linear | nn.ConvTranspose2d):
                area = module.weight[0, 0].numel()
                fans = (module.weight.shape[0] + module.weight.shape[1]) * area
                bound = math.sqrt(6 / fans)
                assert module.weight.abs().max() <= bound
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
