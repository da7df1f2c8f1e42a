"""Generators and discriminators by name. Pixels lie in [-1, 1]; scores are raw, of shape (N,).

A pair is a file of `ganscribe.gan.networks` with two functions, `build_generator(noise_dim, image_shape)` and
`build_discriminator(image_shape)`. Their keyword arguments with a default are the pair's own options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ganscribe.core.registry import Registry

ImageShape = tuple[int, int, int]  # (C, H, W)

NETWORKS = Registry("ganscribe.gan.networks", "GAN network")
BUILDERS = {"build_generator": "noise_dim, image_shape", "build_discriminator": "image_shape"}


def _build(builder: str, name: str, *arguments: Any, options: Mapping[str, Any]) -> nn.Module:
    """Call one of the pair's two builders with those of the pair's options that it takes."""
    image_shape = arguments[-1]
    if len(image_shape) != 3 or image_shape[1] % 4 or image_shape[2] % 4 or min(image_shape[1:]) < 16:
        raise ValueError(
            f"image_shape {image_shape}: need (channels, height, width), both sides multiples of 4 from 16 up"
        )
    NETWORKS.check_options(name, options, *BUILDERS)
    taken = NETWORKS.option_names(name, builder)
    own = {option: value for option, value in options.items() if option in taken}
    try:
        network = NETWORKS.call(name, builder, *arguments, options=own)
    except TypeError as error:
        reason = f" does not take the options {own}" if own else f": {builder}({BUILDERS[builder]}) failed"
        raise ValueError(f"GAN network {name!r}{reason}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"GAN network {name!r}: {builder} returned {network!r}: return a torch module")
    return network


def build_generator(name: str, *, noise_dim: int, image_shape: ImageShape, **options: Any) -> nn.Module:
    """Build the generator `name`: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1].

    `image_shape` is (C, H, W), `options` are the pair's own. The weights come from torch's global generator.
    Raises ValueError for an unknown name, option or shape.
    """
    return _build("build_generator", name, noise_dim, image_shape, options=options)


def build_discriminator(name: str, *, image_shape: ImageShape, **options: Any) -> nn.Module:
    """Build the discriminator (critic) `name`: images (N, C, H, W) in [-1, 1] to raw scores (N,).

    `image_shape` is (C, H, W), `options` are the pair's own. The weights come from torch's global generator.
    Raises ValueError for an unknown name, option or shape.
    """
    return _build("build_discriminator", name, image_shape, options=options)


@torch.no_grad()
def check_pair(
    name: str, generator: nn.Module, critic: nn.Module, *, noise_dim: int, image_shape: ImageShape
) -> None:
    """Raise ValueError if the new networks (on the CPU) do not make such images, or not one score of each image.

    It changes neither the networks, which it leaves in training mode, nor torch's global generator.
    """
    with torch.random.fork_rng(devices=[]):
        images = generator.eval()(torch.zeros(2, noise_dim))
        if tuple(images.shape[1:]) != tuple(image_shape):
            raise ValueError(
                f"GAN network {name!r}: the generator makes images of shape {tuple(images.shape[1:])}:"
                f" make those of the data, {image_shape}"
            )
        scores = critic.eval()(torch.zeros(2, *image_shape))
        if scores.shape not in ((2,), (2, 1)):
            raise ValueError(
                f"GAN network {name!r}: the critic returns scores of shape {tuple(scores.shape)} for 2 images:"
                " return one raw score of each, (N,)"
            )
    generator.train()
    critic.train()


def mixes_batch(network: nn.Module) -> bool:
    """Return whether an image's output depends on its batch, as with batch norm in training mode."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
