"""Generators and discriminators by name: what all of them promise, their options, what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import gans
from ganscribe.core.registry import Registry
from ganscribe.gan.common.networks import NETWORKS, check_pair, mixes_batch
from ganscribe.gan.networks import build_discriminator, build_generator

MADE_UP = """
from math import prod
from torch import nn


def build_generator(noise_dim, image_shape):
    return nn.Sequential(nn.Linear(noise_dim, prod(image_shape)), nn.Tanh(), nn.Unflatten(1, image_shape))


def build_discriminator(image_shape, *, units: int = 8):
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(image_shape), units), nn.Linear(units, 1), nn.Flatten(0))
"""


def test_the_six_are_there() -> None:
    assert set(NETWORKS.names()) >= {"dcgan", "dcgan_bn", "dcgan_deep", "dcgan_nobn", "dcgan_sn", "mlp"}


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", NETWORKS.names())
def test_shapes_range_and_a_gradient_for_every_parameter(
    name: str, image_shape: tuple[int, int, int]
) -> None:
    generator, critic = (gans.build(name, part, image_shape) for part in ("generator", "discriminator"))
    images = generator(torch.randn(6, gans.NOISE))
    scores = critic(images)
    assert images.shape == (6, *image_shape) and scores.shape == (6,)
    assert images.abs().max() <= 1
    scores.square().sum().backward()
    for network in (generator, critic):
        for key, weight in network.named_parameters():
            assert weight.grad is not None and torch.isfinite(weight.grad).all(), key
            assert weight.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", NETWORKS.names())
def test_scores_are_raw(name: str) -> None:
    critic, images = gans.build(name, "discriminator").eval(), 100 * torch.randn(64, *gans.MNIST)
    (*_, last) = [layer for layer in critic.modules() if isinstance(layer, nn.Linear)]
    seen: list[torch.Tensor] = []
    last.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    with torch.no_grad():
        scores = critic(images)
    assert torch.equal(scores, seen[0].flatten())  # nothing bends them after the last layer
    assert scores.abs().max() > 1


@pytest.mark.parametrize("name", NETWORKS.names())
def test_the_same_seed_builds_the_same_network(name: str) -> None:
    for part in ("generator", "discriminator"):
        first, second = gans.build(name, part), gans.build(name, part)
        assert gans.same(list(first.parameters()), list(second.parameters()))


def test_batch_norm_mixes_a_batch() -> None:
    mixing = {
        (name, part): mixes_batch(gans.build(name, part))
        for name in ("dcgan", "dcgan_bn", "dcgan_deep", "dcgan_nobn", "dcgan_sn", "mlp")
        for part in ("generator", "discriminator")
    }
    assert {pair for pair, mixes in mixing.items() if mixes} == {
        ("dcgan", "generator"),
        ("dcgan_bn", "generator"),
        ("dcgan_bn", "discriminator"),
        ("dcgan_deep", "generator"),
        ("dcgan_deep", "discriminator"),
        ("dcgan_sn", "generator"),
    }


@pytest.mark.parametrize("image_shape", [(1, 30, 30), (1, 28), (1, 12, 12), (1, 28, 30)])
@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_shapes_that_do_not_halve_twice_are_refused(part: str, image_shape: Any) -> None:
    with pytest.raises(ValueError, match="both sides multiples of 4 from 16 up"):
        gans.build("dcgan", part, image_shape)
    gans.build("dcgan", part, (1, 16, 20))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlp", {"dropout": 0.5}, "^GAN network 'mlp' has no option 'dropout': it has no options$"),
        (
            "dcgan_deep",
            {"made_up": 1},
            "^GAN network 'dcgan_deep' has no option 'made_up': it takes dropout$",
        ),
        ("dcgan_deep", {"dropout": "half"}, "^GAN network 'dcgan_deep' does not take the options .*'half'"),
        ("dcgan_deep", {"dropout": 1.5}, "dropout probability"),
    ],
)
def test_options_that_a_pair_does_not_take_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    for part in ("generator", "discriminator"):
        with pytest.raises(ValueError, match=message):
            gans.build(name, part, **options)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "(1, image_shape))",
            "(1, image_shape), nn.Upsample(scale_factor=2))",
            r"shape \(1, 56, 56\): make .*28, 28",
        ),
        (", 1), nn.Flatten(0)", ", 2)", r"the critic returns scores of shape \(2, 2\) for 2 images"),
        (
            "(noise_dim, image_shape)",
            "(image_shape, noise_dim)",
            r"build_generator\(noise_dim, image_shape\) failed: ",
        ),
        ("(image_shape, *", "(noise_dim, image_shape, *", "build_discriminator does not have the arguments"),
        ("def build_disc", "def make_disc", "has no function build_discriminator: add it to its file"),
        (
            "    return nn.Sequential(nn.Flatten",
            "    nn.Sequential(nn.Flatten",
            "build_discriminator returned None",
        ),
    ],
)
def test_a_pair_that_cannot_be_trained_is_refused(
    add_file: Callable[[Registry, str, str], None], old: str, new: str, message: str
) -> None:
    assert MADE_UP.count(old) == 1 or old.startswith("(noise_dim")
    add_file(NETWORKS, "made_up", MADE_UP.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^GAN network 'made_up'.*{message}"):
        gans.train(networks="made_up", steps=1)


@pytest.mark.parametrize("name", NETWORKS.names())
def test_the_check_of_a_pair_changes_nothing(name: str) -> None:
    pair = [gans.build(name, part) for part in ("generator", "discriminator")]
    before = [copy.deepcopy(network.state_dict()) for network in pair]
    random = torch.get_rng_state()
    check_pair(name, *pair, noise_dim=gans.NOISE, image_shape=gans.MNIST)
    assert torch.equal(torch.get_rng_state(), random)
    for network, state in zip(pair, before, strict=True):
        assert all(module.training for module in network.modules())
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_an_option_of_one_network_is_an_option_of_the_pair(
    add_file: Callable[[Registry, str, str], None],
) -> None:
    before = NETWORKS.names()
    add_file(NETWORKS, "made_up", MADE_UP)
    assert NETWORKS.names() == sorted([*before, "made_up"])
    generator = build_generator("made_up", noise_dim=3, image_shape=gans.MNIST, units=2)
    critic = build_discriminator("made_up", image_shape=gans.MNIST, units=2)
    assert critic(generator(torch.randn(5, 3))).shape == (5,)
    assert [layer.out_features for layer in critic.children() if isinstance(layer, nn.Linear)] == [2, 1]
    with pytest.raises(ValueError, match=r"^GAN network 'made_up' has no option 'dropout': it takes units$"):
        build_generator("made_up", noise_dim=3, image_shape=gans.MNIST, dropout=0.5)
    gan = gans.train(networks="made_up", network_options={"units": 3}, steps=1)
    assert [len(bias) for key, bias in gan.discriminator.named_parameters() if "bias" in key] == [3, 1]
