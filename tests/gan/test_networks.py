"""The networks against the parameter counts of their course and their layer lists."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganscribe.datasets.pixels import to_signed, to_uint8
from ganscribe.gan.networks import (
    NETWORKS,
    _CropEnd,
    _same_padding,
    build_discriminator,
    build_generator,
    mixes_batch,
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
LAYERS |= {
    ("dcgan_nobn", "discriminator"): LAYERS["dcgan", "discriminator"],
    ("dcgan_nobn", "generator"): (LAYERS["dcgan", "generator"][0], []),
}
DEEP = {  # by image shape; convolutions with biases
    ((1, 28, 28), "generator"): (
        [(NOISE, 4 * 4 * 512, 1), (512, 256, 16), (256, 128, 9), (128, 1, 9)],
        [4 * 4 * 512, 256, 128],
    ),
    ((3, 32, 32), "generator"): (
        [(NOISE, 4 * 4 * 512, 1), (512, 256, 16), (256, 128, 9), (128, 3, 9)],
        [4 * 4 * 512, 256, 128],
    ),
    ((1, 28, 28), "discriminator"): (
        [(1, 128, 9), (128, 256, 9), (256, 512, 9), (4 * 4 * 512, 1, 1)],
        [256, 512],
    ),
    ((3, 32, 32), "discriminator"): (
        [(3, 128, 9), (128, 256, 9), (256, 512, 9), (4 * 4 * 512, 1, 1)],
        [256, 512],
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


def count(layers: list[tuple[int, int, int]], norms: list[int]) -> int:
    return sum(inputs * outputs * area + outputs for inputs, outputs, area in layers) + 2 * sum(norms)


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("name", "part"), sorted(LAYERS))
def test_parameter_counts_are_the_layer_lists_and_the_course_s(name: str, part: str) -> None:
    derived = count(*LAYERS[name, part])
    assert derived == PUBLISHED.get((name, part), derived)
    assert parameters(build(name, part)) == derived


@pytest.mark.parametrize(("image_shape", "part"), sorted(DEEP))
def test_deep_parameter_counts_are_the_layer_list_s(image_shape: tuple[int, int, int], part: str) -> None:
    assert parameters(build("dcgan_deep", part, image_shape)) == count(*DEEP[image_shape, part])


def test_without_batch_norm_only_the_batch_norm_is_missing() -> None:
    for part in ("generator", "discriminator"):
        kinds = [
            [type(layer).__name__ for layer in build(name, part).children()]
            for name in ("dcgan", "dcgan_nobn")
        ]
        assert [kind for kind in kinds[0] if not kind.startswith("BatchNorm")] == kinds[1]


def test_deep_sides_halve_and_double_as_the_sources_do() -> None:
    for image_shape, sides in (((1, 28, 28), [14, 7, 4]), ((3, 32, 32), [16, 8, 4])):
        features, seen = torch.randn(2, *image_shape), []
        for layer in build("dcgan_deep", "discriminator", image_shape).children():
            features = layer(features)
            seen += [features.shape[-1]] if isinstance(layer, nn.Conv2d) else []
        assert seen == sides
        features, seen = torch.randn(2, NOISE), []
        for layer in build("dcgan_deep", "generator", image_shape).children():
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
def test_deep_convolutions_pad_as_tensorflow_does(side: int) -> None:
    convolution = nn.Conv2d(2, 3, 3, stride=2, bias=False).double()
    images = torch.randn(2, 2, side, side, dtype=torch.float64)
    torch.testing.assert_close(
        convolution(_same_padding(side)(images)), tensorflow_same(images, convolution.weight)
    )


@pytest.mark.parametrize("side", [7, 14, 16])
def test_deep_transposed_convolutions_are_the_transposes_of_tensorflow_s(side: int) -> None:
    """<y, conv(x)> = <transposed(y), x>: TensorFlow defines the one as the gradient of the other."""
    transposed = nn.ConvTranspose2d(3, 2, 3, stride=2, bias=False).double()
    y = torch.randn(2, 3, side, side, dtype=torch.float64)
    x = torch.randn(2, 2, 2 * side, 2 * side, dtype=torch.float64)
    ours = (_CropEnd()(transposed(y)) * x).sum()
    torch.testing.assert_close(ours, (y * tensorflow_same(x, transposed.weight)).sum())


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
    assert mixes_batch(build("dcgan_deep", "discriminator"))
    assert not mixes_batch(build("dcgan", "discriminator"))
    assert not mixes_batch(build("dcgan_nobn", "generator"))
    assert not mixes_batch(build("mlp", "generator"))


def test_bad_names_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="choose one of dcgan, dcgan_deep, dcgan_nobn, mlp"):
        build_generator("dcgn", noise_dim=4, image_shape=MNIST)
    with pytest.raises(ValueError, match="multiples of 4"):
        build_discriminator("dcgan", image_shape=(1, 30, 30))
    with pytest.raises(ValueError, match="dcgan_deep makes images of 28 or 32 pixels a side, not 40 x 40"):
        build_generator("dcgan_deep", noise_dim=4, image_shape=(1, 40, 40))


def test_pixels_survive_the_way_there_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    signed = to_signed(levels)
    assert signed.min() == -1 and signed.max() == 1
    assert torch.equal(to_uint8(signed), levels)


def test_quantisation_rounds_and_does_not_truncate() -> None:
    level = lambda value: value / 127.5 - 1  # noqa: E731
    pixels = torch.tensor([level(99.6), level(100.4), -1.5, 1.5])
    assert to_uint8(pixels).tolist() == [100, 100, 0, 255]
