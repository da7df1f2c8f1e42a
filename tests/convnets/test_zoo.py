"""Every network: counts derived from its layer table, shapes, gradients, the judge's interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from ganscribe import convnets
from ganscribe.training.cost import count_flops, count_parameters

Counts = tuple[int, int]  # parameters, multiply-adds of one image


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two test processes with two threads each would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def conv(inputs: int, outputs: int, size: int, side: int, *, bias: bool = False) -> Counts:
    """A convolution whose output is `side` x `side`."""
    weights = inputs * outputs * size**2
    return weights + outputs * bias, weights * side**2


def norm(channels: int) -> Counts:
    return 2 * channels, 0


def normed(inputs: int, outputs: int, size: int, side: int) -> list[Counts]:
    return [conv(inputs, outputs, size, side), norm(outputs)]


def linear(inputs: int, outputs: int) -> Counts:
    return (inputs + 1) * outputs, inputs * outputs


def lenet5(channels: int, classes: int) -> list[Counts]:
    # 28 x 28 after the first convolution, 10 x 10 after the second: no padding.
    convolutions = [conv(channels, 6, 5, 28, bias=True), conv(6, 16, 5, 10, bias=True)]
    return [*convolutions, linear(16 * 5 * 5, 120), linear(120, 84), linear(84, classes)]


def alexnet(channels: int, classes: int) -> list[Counts]:
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


def vgg(column: list[list[int]]) -> Callable[[int, int], list[Counts]]:
    def layers(channels: int, classes: int) -> list[Counts]:
        found, side = [], 32
        for widths in column:
            for width in widths:
                found += normed(channels, width, 3, side)
                channels = width
            side //= 2
        return [*found, linear(512, 512), linear(512, 512), linear(512, classes)]

    return layers


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


def googlenet(channels: int, classes: int) -> list[Counts]:
    found, inputs = normed(channels, 192, 3, 32), 192
    for name, columns in INCEPTIONS.items():
        found += inception(name, inputs, {"3": 32, "4": 16, "5": 8}[name[0]])
        inputs = columns[0]
    for inputs in (512, 528):  # the auxiliary heads cost parameters, but nothing outside training
        head = [*normed(inputs, 128, 1, 4), linear(128 * 4 * 4, 1024), linear(1024, classes)]
        found += [(parameters, 0) for parameters, _ in head]
    return [*found, linear(1024, classes)]


def resnet18(channels: int, classes: int) -> list[Counts]:
    found, inputs = normed(channels, 64, 3, 32), 64
    for width, side in ((64, 32), (128, 16), (256, 8), (512, 4)):
        for block in range(2):
            found += normed(inputs, width, 3, side) + normed(width, width, 3, side)
            if block == 0 and inputs != width:
                found += normed(inputs, width, 1, side)
            inputs = width
    return [*found, linear(512, classes)]


def resnet20(channels: int, classes: int) -> list[Counts]:
    found, inputs = normed(channels, 16, 3, 32), 16
    for width, side in ((16, 32), (32, 16), (64, 8)):
        for _ in range(3):
            found += normed(inputs, width, 3, side) + normed(width, width, 3, side)
            inputs = width
    return [*found, linear(64, classes)]


def densenet_bc(channels: int, classes: int) -> list[Counts]:
    found, width = [conv(channels, 24, 3, 32)], 24
    for side in (32, 16, 8):
        for _ in range(16):  # 3 x 16 x 2 + 1 + 2 + 1 = 100 layers
            found += [norm(width), conv(width, 48, 1, side), norm(48), conv(48, 12, 3, side)]
            width += 12
        if side > 8:
            found += [norm(width), conv(width, width // 2, 1, side)]
            width //= 2
    return [*found, norm(width), linear(width, classes)]


def cliquenet(channels: int, classes: int) -> list[Counts]:
    found, inputs, features = [conv(channels, 64, 3, 32)], 64, 0
    for side in (32, 16, 8):
        for j in range(4):
            first, second = inputs + 36 * j, 3 * 36
            filters = conv(inputs, 36, 3, side)[0] + 3 * conv(36, 36, 3, side)[0]
            uses = conv(first, 36, 3, side)[1] + conv(second, 36, 3, side)[1]
            found += [(filters, uses), norm(first), norm(second)]
        features += inputs + 144
        found += [norm(inputs + 144)]
        if side > 8:
            found += [norm(144), conv(144, 144, 1, side)]
        inputs = 144
    return [*found, linear(features, classes)]


LAYERS = {
    "lenet5": lenet5,
    "alexnet": alexnet,
    "vgg11": vgg([[64], [128], [256] * 2, [512] * 2, [512] * 2]),
    "vgg16": vgg([[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]),
    "googlenet": googlenet,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "densenet_bc": densenet_bc,
    "cliquenet": cliquenet,
}

# What the papers print (LeNet-5's for one channel as used today); the others print it for ImageNet.
PUBLISHED = {
    "lenet5": (1, 61_706, 1),
    "resnet20": (3, 0.27e6, 0.01e6),
    "densenet_bc": (3, 0.8e6, 0.1e6),
    "cliquenet": (3, 0.94e6, 0.01e6),
}

FEATURES = {
    "lenet5": 84,
    "alexnet": 1024,
    "vgg11": 512,
    "vgg16": 512,
    "googlenet": 1024,
    "resnet18": 512,
    "resnet20": 64,
    "densenet_bc": 342,
    "cliquenet": 64 + 144 + 2 * (144 + 144),
}


def test_every_network_is_in_the_tables() -> None:
    assert list(convnets.CONVNETS) == list(LAYERS) == list(FEATURES)


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 10), (3, 32, 7)])
@pytest.mark.parametrize("name", LAYERS)
def test_parameters_and_flops_follow_from_the_layer_table(
    name: str, channels: int, size: int, classes: int
) -> None:
    shape = (channels, size, size)
    model = convnets.build(name, num_classes=classes, image_shape=shape)
    counts = LAYERS[name](channels, classes)
    assert count_parameters(model) == sum(parameters for parameters, _ in counts)
    assert count_flops(model, shape) == 2 * sum(products for _, products in counts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    channels, published, printed_digit = PUBLISHED[name]
    count = sum(parameters for parameters, _ in LAYERS[name](channels, 10))
    assert abs(count - published) < printed_digit


def test_inception_blocks_against_the_paper_s_own_column() -> None:
    """Its column of parameters (in units of 1,024) is up to 8% off its own table of filters."""
    inputs = 192
    for name, columns in INCEPTIONS.items():
        weights = sum(p for p, products in inception(name, inputs, 1) if products)
        assert weights / 1024 == pytest.approx(columns[-1], rel=0.08)
        assert columns[1] + columns[3] + columns[5] + columns[6] == columns[0]
        inputs = columns[0]


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("name", LAYERS)
def test_shapes_and_a_gradient_for_every_parameter(name: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    model = convnets.build(name, num_classes=10, image_shape=(channels, size, size)).train()
    images = torch.randn(4, channels, size, size)
    heads = model(images)
    heads = heads if isinstance(heads, tuple) else (heads,)
    assert [head.shape for head in heads] == [(4, 10)] * len(convnets.CONVNETS[name].head_weights)
    assert all(head.isfinite().all() for head in heads)

    sum(head.square().sum() for head in heads).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", LAYERS)
def test_features_are_what_the_last_linear_layer_gets(name: str) -> None:
    torch.manual_seed(0)
    model = convnets.build(name, num_classes=10, image_shape=(1, 28, 28)).eval()
    images = torch.randn(3, 1, 28, 28)
    with torch.no_grad():
        features, scores = model.features(images), model(images)
    assert features.shape == (3, FEATURES[name]) and features.min() >= 0
    torch.testing.assert_close(model.classifier(features), scores)


@pytest.mark.parametrize("name", LAYERS)
def test_28_pixels_are_zero_padded_to_32(name: str) -> None:
    small = convnets.build(name, num_classes=10, image_shape=(1, 28, 28)).eval()
    large = convnets.build(name, num_classes=10, image_shape=(1, 32, 32)).eval()
    large.load_state_dict(small.state_dict())
    images = torch.randn(2, 1, 28, 28)
    padded = torch.zeros(2, 1, 32, 32)
    padded[:, :, 2:30, 2:30] = images
    with torch.no_grad():
        torch.testing.assert_close(small(images), large(padded))


@pytest.mark.parametrize("name", LAYERS)
def test_the_layout_changes_the_speed_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = convnets.build(name, num_classes=10, image_shape=(3, 32, 32)).eval()
    other = replace(convnets.CONVNETS[name], channels_last=not convnets.CONVNETS[name].channels_last)
    monkeypatch.setitem(convnets.CONVNETS, name, other)
    twin = convnets.build(name, num_classes=10, image_shape=(3, 32, 32)).eval()
    twin.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(twin(images), model(images), rtol=1e-4, atol=1e-4)


def test_alexnet_s_branches_do_not_see_each_other() -> None:
    model = convnets.build("alexnet", num_classes=10, image_shape=(1, 28, 28))
    second = model.convolutions[3]
    maps = torch.randn(1, 64, 16, 16)
    changed = maps.clone()
    changed[:, 32:] += 1
    assert torch.equal(second(maps)[:, :96], second(changed)[:, :96])
    assert not torch.equal(second(maps)[:, 96:], second(changed)[:, 96:])


def test_resnet20_s_shortcuts_have_no_parameters() -> None:
    block = convnets.build("resnet20", num_classes=10, image_shape=(1, 28, 28)).blocks[3].eval()
    torch.nn.init.zeros_(block.norm2.weight)
    maps = torch.rand(2, 16, 32, 32)
    out = block(maps)
    assert torch.equal(out[:, :16], maps[:, :, ::2, ::2]) and out[:, 16:].abs().max() == 0


def test_googlenet_s_auxiliary_heads_are_for_training_only() -> None:
    model = convnets.build("googlenet", num_classes=10, image_shape=(1, 28, 28))
    images = torch.randn(2, 1, 28, 28)
    assert convnets.CONVNETS["googlenet"].head_weights == (1.0, 0.3, 0.3)
    assert len(model.train()(images)) == 3 and model.eval()(images).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("lenet", (1, 28, 28), {}, "choose one of.*lenet5"),
        ("lenet5", (1, 30, 30), {}, "28, 28"),
        ("lenet5", (28, 28), {}, "28, 28"),
        ("lenet5", (1, 28, 28), {"width": 2}, "width"),
        ("vgg11", (1, 28, 28), {"column": "D"}, "column"),
        ("densenet_bc", (1, 28, 28), {"depth": 99}, r"6n \+ 4"),
        ("cliquenet", (1, 28, 28), {"T": 14}, "multiple of 3"),
        ("cliquenet", (1, 28, 28), {"T": 15, "bottleneck": True}, "multiple of 6"),
        ("cliquenet", (1, 28, 28), {"T": 3}, "at least 6"),
    ],
)
def test_bad_names_shapes_and_options(name: str, shape: tuple[int, ...], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convnets.build(name, num_classes=10, image_shape=shape, **options)
