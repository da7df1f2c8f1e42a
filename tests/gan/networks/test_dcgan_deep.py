"""The deep DCGAN against its layer list, and its padding against TensorFlow's formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gans
from ganscribe.gan.networks.dcgan_deep import CropEnd, same_padding
from ganscribe.training.cost import count_parameters
from written_out import Weights, check_pair

# By channels and side: (inputs, outputs, kernel area) of every layer with weights and biases, the norms' widths.
SHAPES = {1: (1, 28, 28), 3: (3, 32, 32)}
NORMS = {"generator": [4 * 4 * 512, 256, 128], "discriminator": [256, 512]}


def layers(part: str, channels: int) -> list[tuple[int, int, int]]:
    if part == "generator":
        return [(gans.NOISE, 4 * 4 * 512, 1), (512, 256, 16), (256, 128, 9), (128, channels, 9)]
    return [(channels, 128, 9), (128, 256, 9), (256, 512, 9), (4 * 4 * 512, 1, 1)]


@pytest.mark.parametrize("channels", SHAPES)
@pytest.mark.parametrize("part", NORMS)
def test_parameter_counts_are_the_layer_list_s(part: str, channels: int) -> None:
    network = gans.build("dcgan_deep", part, SHAPES[channels])
    assert count_parameters(network) == gans.layer_parameters(layers(part, channels), NORMS[part])


def test_sides_halve_and_double_as_the_sources_do() -> None:
    for image_shape, sides in (((1, 28, 28), [14, 7, 4]), ((3, 32, 32), [16, 8, 4])):
        features, seen = torch.randn(2, *image_shape), []
        for layer in gans.build("dcgan_deep", "discriminator", image_shape).children():
            features = layer(features)
            seen += [features.shape[-1]] if isinstance(layer, nn.Conv2d) else []
        assert seen == sides
        features, seen = torch.randn(2, gans.NOISE), []
        for layer in gans.build("dcgan_deep", "generator", image_shape).children():
            features = layer(features)
            seen += [features.shape[-1]] if isinstance(layer, nn.BatchNorm2d | nn.Tanh) else []
        assert seen == [sides[1], sides[0], image_shape[1]]


def tensorflow_same(images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A 3x3 convolution of stride 2 with TensorFlow's "same" padding, from its documentation's formula."""
    side = images.shape[-1]
    out = -(-side // 2)
    padding = max((out - 1) * 2 + 3 - side, 0)
    before = padding // 2
    padded = torch.zeros(*images.shape[:2], side + padding, side + padding, dtype=images.dtype)
    padded[:, :, before : before + side, before : before + side] = images
    pixels = [
        torch.einsum("nchw,ochw->no", padded[:, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3], weight)
        for y in range(out)
        for x in range(out)
    ]
    return torch.stack(pixels, dim=-1).unflatten(-1, (out, out))


@pytest.mark.parametrize("side", [28, 14, 7, 32])
def test_convolutions_pad_as_tensorflow_does(side: int) -> None:
    convolution = nn.Conv2d(2, 3, 3, stride=2, bias=False).double()
    images = torch.randn(2, 2, side, side, dtype=torch.float64)
    torch.testing.assert_close(
        convolution(same_padding(side)(images)), tensorflow_same(images, convolution.weight)
    )


@pytest.mark.parametrize("side", [7, 14, 16])
def test_transposed_convolutions_are_the_transposes_of_tensorflow_s(side: int) -> None:
    """<y, conv(x)> = <transposed(y), x>: TensorFlow defines the one as the gradient of the other."""
    transposed = nn.ConvTranspose2d(3, 2, 3, stride=2, bias=False).double()
    y = torch.randn(2, 3, side, side, dtype=torch.float64)
    x = torch.randn(2, 2, 2 * side, 2 * side, dtype=torch.float64)
    ours = (CropEnd()(transposed(y)) * x).sum()
    torch.testing.assert_close(ours, (y * tensorflow_same(x, transposed.weight)).sum())


def generator(weights: Weights, noise: Tensor) -> Tensor:
    maps = F.leaky_relu(weights.norm(weights.linear(noise)), 0.01).unflatten(1, (512, 4, 4))
    maps = F.leaky_relu(weights.norm(weights.conv_transpose(maps, stride=1)), 0.01)
    maps = F.leaky_relu(weights.norm(weights.conv_transpose(maps)[:, :, :-1, :-1]), 0.01)
    return weights.conv_transpose(maps)[:, :, :-1, :-1].tanh()


def discriminator(weights: Weights, maps: Tensor) -> Tensor:
    maps = weights.conv(F.pad(maps, (0, 1, 0, 1)), bias=True, stride=2, is_padded=False)
    maps = weights.conv(F.pad(F.leaky_relu(maps, 0.01), (0, 1, 0, 1)), bias=True, stride=2, is_padded=False)
    maps = F.leaky_relu(weights.norm(maps), 0.01)
    maps = weights.conv(maps, bias=True, stride=2)  # of 7 pixels: one on each side
    return weights.linear(F.leaky_relu(weights.norm(maps), 0.01).flatten(1)).flatten()


def test_outputs_are_those_of_the_layers_written_out() -> None:
    check_pair("dcgan_deep", generator, discriminator)


def test_it_starts_as_keras_does() -> None:
    for part in NORMS:
        for module in gans.build("dcgan_deep", part).modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                area = module.weight[0, 0].numel()
                bound = math.sqrt(6 / ((module.weight.shape[0] + module.weight.shape[1]) * area))
                assert module.weight.abs().max() <= bound
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
                assert module.bias is not None and not module.bias.any()


@pytest.mark.parametrize("part", NORMS)
def test_dropout_is_an_option(part: str) -> None:
    cases: list[tuple[dict[str, Any], float]] = [({}, 0.2), ({"dropout": 0.35}, 0.35)]
    for options, share in cases:
        network = gans.build("dcgan_deep", part, **options)
        shares = [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)]
        assert len(shares) == 3 and set(shares) == {share}


def test_other_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="dcgan_deep makes images of 28 or 32 pixels a side, not 40 x 40"):
        gans.build("dcgan_deep", "generator", (1, 40, 40))
