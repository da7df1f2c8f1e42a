"""Generators and discriminators, by name. Pixels lie in [-1, 1]; scores are raw, shape (N,).

`mlp` and `dcgan` are the networks of Stanford's CS231n, assignment 3. `mlp`: D 784-256-256-1 with
LeakyReLU(0.01), G z-1024-1024-784 with ReLU and tanh. `dcgan`: G after InfoGAN (Chen et al. 2016,
1606.03657), appendix C.1; layers in the functions below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ImageShape = tuple[int, int, int]  # (C, H, W)


@dataclass(frozen=True)
class Networks:
    """A pair of builders: `generator(noise_dim, image_shape)` and `discriminator(image_shape)`."""

    generator: Callable[[int, ImageShape], nn.Module]
    discriminator: Callable[[ImageShape], nn.Module]


def _mlp_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    return nn.Sequential(
        nn.Linear(noise_dim, 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, math.prod(image_shape)),
        nn.Tanh(),
        nn.Unflatten(1, image_shape),
    )


def _mlp_discriminator(image_shape: ImageShape) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(image_shape), 256),
        nn.LeakyReLU(0.01),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.01),
        nn.Linear(256, 1),
        nn.Flatten(0),  # (N, 1) -> (N,)
    )


@torch.no_grad()
def _xavier(network: nn.Module) -> nn.Module:
    """Xavier-uniform weights on linear and transposed convolutions; the rest keeps torch's own."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
    return network


def _dcgan_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    channels, height, width = image_shape
    rows, columns = height // 4, width // 4  # 7 x 7 for 28 x 28
    network = nn.Sequential(
        nn.Linear(noise_dim, 1024),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(1024),
        nn.Linear(1024, rows * columns * 128),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(rows * columns * 128),
        nn.Unflatten(1, (128, rows, columns)),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(64),
        nn.ConvTranspose2d(64, channels, 4, stride=2, padding=1),
        nn.Tanh(),
    )
    return _xavier(network)


def _dcgan_discriminator(image_shape: ImageShape) -> nn.Module:
    channels, height, width = image_shape
    rows, columns = ((height - 4) // 2 - 4) // 2, ((width - 4) // 2 - 4) // 2  # 4 x 4 for 28 x 28
    network = nn.Sequential(
        nn.Conv2d(channels, 32, 5),
        nn.LeakyReLU(0.01),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5),
        nn.LeakyReLU(0.01),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(rows * columns * 64, 1024),
        nn.LeakyReLU(0.01),
        nn.Linear(1024, 1),
        nn.Flatten(0),  # (N, 1) -> (N,)
    )
    return _xavier(network)


NETWORKS = {
    "mlp": Networks(_mlp_generator, _mlp_discriminator),
    "dcgan": Networks(_dcgan_generator, _dcgan_discriminator),
}


def _networks(name: str, image_shape: ImageShape) -> Networks:
    if name not in NETWORKS:
        raise ValueError(f"networks {name!r} are unknown: choose one of {', '.join(sorted(NETWORKS))}")
    if len(image_shape) != 3 or image_shape[1] % 4 or image_shape[2] % 4 or min(image_shape[1:]) < 16:
        raise ValueError(
            f"image_shape {image_shape}: need (channels, height, width), both sides multiples of 4 from 16 up"
        )
    return NETWORKS[name]


def build_generator(name: str, *, noise_dim: int, image_shape: ImageShape) -> nn.Module:
    """The generator `name`: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1]; image_shape is (C, H, W).

    Initialised from torch's global generator. Raises ValueError for an unknown name or shape.
    """
    return _networks(name, image_shape).generator(noise_dim, image_shape)


def build_discriminator(name: str, *, image_shape: ImageShape) -> nn.Module:
    """The discriminator (critic) `name`: images (N, C, H, W) in [-1, 1] to raw scores (N,).

    Initialised from torch's global generator. Raises ValueError for an unknown name or shape.
    """
    return _networks(name, image_shape).discriminator(image_shape)


def mixes_batch(network: nn.Module) -> bool:
    """Whether an image's output depends on the rest of its batch, as with batch norm in training mode."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def to_signed(images: Tensor) -> Tensor:
    """Pixels uint8 0..255 to float32 in [-1, 1]."""
    return images.float().mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Pixels in [-1, 1] to uint8 0..255, rounded to the nearest (truncating would darken by half a level)."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
