"""The networks against the parameter counts of their course and their layer lists."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganscribe.gan.networks import (
    NETWORKS,
    build_discriminator,
    build_generator,
    mixes_batch,
    to_signed,
    to_uint8,
)

NOISE = 4  # CS231n's own test noise dimension
MNIST = (1, 28, 28)

# (inputs, outputs, kernel area) of every layer with weights and biases, and the widths of batch norms:
# spec section 2, read off the layer lists, not off the modules.
LAYERS = {
    ("mlp", "discriminator"): ([(784, 256, 1), (256, 256, 1), (256, 1, 1)], []),
    ("mlp", "generator"): ([(NOISE, 1024, 1), (1024, 1024, 1), (1024, 784, 1)], []),
    ("dcgan", "discriminator"): ([(1, 32, 25), (32, 64, 25), (4 * 4 * 64, 1024, 1), (1024, 1, 1)], []),
    ("dcgan", "generator"): (
        [(NOISE, 1024, 1), (1024, 7 * 7 * 128, 1), (128, 64, 16), (64, 1, 16)],
        [1024, 7 * 7 * 128, 64],
    ),
}
# Printed by the course's own notebook (CS231n assignment 3, Generative_Adversarial_Networks).
PUBLISHED = {
    ("mlp", "discriminator"): 267009,
    ("mlp", "generator"): 1858320,
    ("dcgan", "discriminator"): 1102721,
    ("dcgan", "generator"): 6580801,
}


def build(name: str, part: str, image_shape: tuple[int, int, int] = MNIST) -> nn.Module:
    torch.manual_seed(0)
    if part == "generator":
        return build_generator(name, noise_dim=NOISE, image_shape=image_shape)
    return build_discriminator(name, image_shape=image_shape)


@pytest.mark.parametrize(("name", "part"), sorted(LAYERS))
def test_parameter_counts_are_the_course_s(name: str, part: str) -> None:
    layers, norms = LAYERS[name, part]
    derived = sum(inputs * outputs * area + outputs for inputs, outputs, area in layers) + 2 * sum(norms)
    assert derived == PUBLISHED[name, part]
    assert sum(weight.numel() for weight in build(name, part).parameters()) == derived


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_shapes_range_and_a_gradient_for_every_parameter(
    name: str, image_shape: tuple[int, int, int]
) -> None:
    generator, critic = build(name, "generator", image_shape), build(name, "discriminator", image_shape)
    images = generator(torch.randn(6, NOISE))
    scores = critic(images)
    assert images.shape == (6, *image_shape) and scores.shape == (6,)
    assert images.abs().max() <= 1
    scores.square().sum().backward()
    for network in (generator, critic):
        for key, weight in network.named_parameters():
            assert weight.grad is not None and torch.isfinite(weight.grad).all(), key
            assert weight.grad.abs().max() > 0, key


def test_scores_are_raw() -> None:
    critic = build("mlp", "discriminator")
    with torch.no_grad():
        scores = critic(100 * torch.randn(64, *MNIST))
    assert scores.min() < 0 and scores.max() > 1  # a sigmoid would hold them in (0, 1)


def test_dcgan_starts_xavier_uniform() -> None:
    for part in ("generator", "discriminator"):
        for module in build("dcgan", part).modules():
            if isinstance(module, nn.Linear | nn.ConvTranspose2d):
                area = module.weight[0, 0].numel()
                fans = (module.weight.shape[0] + module.weight.shape[1]) * area
                bound = math.sqrt(6 / fans)
                assert module.weight.abs().max() <= bound
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_the_same_seed_builds_the_same_network() -> None:
    first, second = build("dcgan", "generator"), build("dcgan", "generator")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_batch_norm_mixes_a_batch() -> None:
    assert mixes_batch(build("dcgan", "generator"))
    assert not mixes_batch(build("dcgan", "discriminator"))
    assert not mixes_batch(build("mlp", "generator"))


def test_bad_names_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="networks 'dcgn' are unknown: choose one of dcgan, mlp"):
        build_generator("dcgn", noise_dim=4, image_shape=MNIST)
    with pytest.raises(ValueError, match="multiples of 4"):
        build_discriminator("dcgan", image_shape=(1, 30, 30))


def test_pixels_survive_the_way_there_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    signed = to_signed(levels)
    assert signed.min() == -1 and signed.max() == 1
    assert torch.equal(to_uint8(signed), levels)


def test_quantisation_rounds_and_does_not_truncate() -> None:
    level = lambda value: value / 127.5 - 1  # noqa: E731
    pixels = torch.tensor([level(99.6), level(100.4), -1.5, 1.5])
    assert to_uint8(pixels).tolist() == [100, 100, 0, 255]
