"""Generators and discriminators, by name. Pixels lie in [-1, 1]; scores are raw, shape (N,).

`mlp` and `dcgan` are the networks of Stanford's CS231n, assignment 3. `mlp`: D 784-256-256-1 with
LeakyReLU(0.01), G z-1024-1024-784 with ReLU and tanh. `dcgan`: G after InfoGAN (Chen et al. 2016,
1606.03657), appendix C.1. `dcgan_nobn`: the same without batch norm (its D never had one). `dcgan_deep`:
after Radford et al. 2015 (1511.06434), with dropout. Layers in the functions below.
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


def _dcgan_layers(noise_dim: int, image_shape: ImageShape, norms: bool) -> nn.Sequential:
    channels, height, width = image_shape
    rows, columns = height // 4, width // 4  # 7 x 7 for 28 x 28
    norm_1d, norm_2d = ([nn.BatchNorm1d], [nn.BatchNorm2d]) if norms else ([], [])
    return nn.Sequential(
        nn.Linear(noise_dim, 1024),
        nn.ReLU(inplace=True),
        *(norm(1024) for norm in norm_1d),
        nn.Linear(1024, rows * columns * 128),
        nn.ReLU(inplace=True),
        *(norm(rows * columns * 128) for norm in norm_1d),
        nn.Unflatten(1, (128, rows, columns)),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        *(norm(64) for norm in norm_2d),
        nn.ConvTranspose2d(64, channels, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def _dcgan_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    return _xavier(_dcgan_layers(noise_dim, image_shape, norms=True))


def _dcgan_nobn_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    return _xavier(_dcgan_layers(noise_dim, image_shape, norms=False))


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


class _CropEnd(nn.Module):
    """Drops the last row and column: TensorFlow's "same" transposed 3x3 convolution of stride 2."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, :-1, :-1]


def _same_padding(side: int) -> nn.ZeroPad2d:
    """TensorFlow's "same" padding of a 3x3 convolution of stride 2: all of an odd pixel at the end."""
    return nn.ZeroPad2d((0, 1, 0, 1) if side % 2 == 0 else (1, 1, 1, 1))


def _glorot(network: nn.Module) -> nn.Module:
    """Keras's start: Glorot-uniform weights and no biases on all linear and convolution layers."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network


def _dcgan_deep_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    channels, height, width = image_shape
    sides = {28: (4, 1, 0), 32: (4, 2, 1)}  # 4 -> 7 valid, 4 -> 8 same: kernel, stride, padding
    if height != width or height not in sides:
        raise ValueError(f"dcgan_deep makes images of 28 or 32 pixels a side, not {height} x {width}")
    kernel, stride, padding = sides[height]
    network = nn.Sequential(
        nn.Linear(noise_dim, 4 * 4 * 512),
        nn.BatchNorm1d(4 * 4 * 512),
        nn.LeakyReLU(0.01),
        nn.Dropout(0.2),
        nn.Unflatten(1, (512, 4, 4)),
        nn.ConvTranspose2d(512, 256, kernel, stride=stride, padding=padding),
        nn.BatchNorm2d(256),
        nn.LeakyReLU(0.01),
        nn.Dropout(0.2),
        nn.ConvTranspose2d(256, 128, 3, stride=2),
        _CropEnd(),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.01),
        nn.Dropout(0.2),
        nn.ConvTranspose2d(128, channels, 3, stride=2),
        _CropEnd(),
        nn.Tanh(),
    )
    return _glorot(network)


def _dcgan_deep_discriminator(image_shape: ImageShape) -> nn.Module:
    channels, height, width = image_shape
    layers: list[nn.Module] = []
    for inputs, filters in ((channels, 128), (128, 256), (256, 512)):
        layers += [_same_padding(height), nn.Conv2d(inputs, filters, 3, stride=2)]
        layers += [nn.BatchNorm2d(filters)] if inputs != channels else []
        layers += [nn.LeakyReLU(0.01), nn.Dropout(0.2)]
        height, width = -(-height // 2), -(-width // 2)  # 28, 14, 7, 4 or 32, 16, 8, 4
    layers += [nn.Flatten(), nn.Linear(512 * height * width, 1), nn.Flatten(0)]
    return _glorot(nn.Sequential(*layers))


NETWORKS = {
    "mlp": Networks(_mlp_generator, _mlp_discriminator),
    "dcgan": Networks(_dcgan_generator, _dcgan_discriminator),
    "dcgan_nobn": Networks(_dcgan_nobn_generator, _dcgan_discriminator),
    "dcgan_deep": Networks(_dcgan_deep_generator, _dcgan_deep_discriminator),
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
