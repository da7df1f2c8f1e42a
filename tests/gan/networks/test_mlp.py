"""The MLPs against the layer list and the parameter counts of their course, CS231n's assignment 3."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import Tensor

import gans
from ganscribe.training.cost import count_parameters
from written_out import Weights, check_pair

# (inputs, outputs, kernel area) of every layer with weights and biases: read off the course's list of layers,
# not off the modules; and what the course's own notebook prints.
LAYERS = {
    "discriminator": ([(784, 256, 1), (256, 256, 1), (256, 1, 1)], 267009),
    "generator": ([(gans.NOISE, 1024, 1), (1024, 1024, 1), (1024, 784, 1)], 1858320),
}


@pytest.mark.parametrize("part", LAYERS)
def test_parameter_counts_are_the_layer_list_s_and_the_course_s(part: str) -> None:
    layers, published = LAYERS[part]
    assert gans.layer_parameters(layers, []) == published
    assert count_parameters(gans.build("mlp", part)) == published


def generator(weights: Weights, noise: Tensor) -> Tensor:
    hidden = weights.linear_relu(weights.linear_relu(noise))
    return weights.linear(hidden).tanh().unflatten(1, gans.MNIST)


def discriminator(weights: Weights, images: Tensor) -> Tensor:
    hidden = F.leaky_relu(weights.linear(images.flatten(1)), 0.01)
    return weights.linear(F.leaky_relu(weights.linear(hidden), 0.01)).flatten()


def test_outputs_are_those_of_the_layers_written_out() -> None:
    check_pair("mlp", generator, discriminator)
