"""The DCGAN against the layer list and the parameter counts of its course, CS231n's assignment 3."""

from __future__ import annotations

import math

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

import gans
from ganscribe.training.cost import count_parameters
from written_out import Weights, check_pair

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


def generator(weights: Weights, noise: Tensor) -> Tensor:
    hidden = weights.norm(weights.linear_relu(noise))
    maps = weights.norm(weights.linear_relu(hidden)).unflatten(1, (128, 7, 7))
    maps = weights.norm(F.relu(weights.conv_transpose(maps, padding=1)))
    return weights.conv_transpose(maps, padding=1).tanh()


def discriminator(weights: Weights, maps: Tensor) -> Tensor:
    for _ in range(2):
        maps = F.max_pool2d(F.leaky_relu(weights.conv(maps, bias=True, is_padded=False), 0.01), 2)
    return weights.linear(F.leaky_relu(weights.linear(maps.flatten(1)), 0.01)).flatten()


def test_outputs_are_those_of_the_layers_written_out() -> None:
    check_pair("dcgan", generator, discriminator)


def test_it_starts_xavier_uniform_except_for_convolutions_and_biases() -> None:
    """Which keep torch's own, uniform within 1 / sqrt(fan in), as in the course's notebook."""
    for part in LAYERS:
        for module in gans.build("dcgan", part).modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                area = module.weight[0, 0].numel()
                fans = (module.weight.shape[0] + module.weight.shape[1]) * area
                bound = math.sqrt(6 / fans)
                if isinstance(module, nn.Conv2d):
                    bound = 1 / math.sqrt(module.weight.shape[1] * area)
                assert module.weight.abs().max() <= bound
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
                assert module.bias is not None and module.bias.any()
