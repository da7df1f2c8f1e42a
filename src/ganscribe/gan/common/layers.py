"""What several pairs of networks are made of: the course's DCGAN, and two ways to initialise."""

from __future__ import annotations

import torch
from torch import nn

from ganscribe.gan.common.networks import ImageShape


@torch.no_grad()
def xavier(network: nn.Module) -> nn.Module:
    """Give linear layers and transposed convolutions Xavier-uniform weights; the rest keeps torch's own."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
    return network


def glorot(network: nn.Module) -> nn.Module:
    """Start as Keras does: Glorot-uniform weights and no biases on all linear and convolution layers."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network


def dcgan_generator(noise_dim: int, image_shape: ImageShape, *, norms: bool) -> nn.Module:
    """Build the generator of InfoGAN (Chen et al. 2016, 1606.03657), appendix C.1, with or without batch norm."""
    channels, height, width = image_shape
    rows, columns = height // 4, width // 4  # 7 x 7 for 28 x 28
    norm_1d, norm_2d = ([nn.BatchNorm1d], [nn.BatchNorm2d]) if norms else ([], [])
    return xavier(
        nn.Sequential(
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
    )


def dcgan_discriminator(image_shape: ImageShape, *, norms: bool = False) -> nn.Module:
    """Build the course's critic: two 5x5 convolutions, each with maxpool, then 1024 units.

    It has no batch norm; with `norms` there is one after the second convolution and one after the 1024 units.
    """
    channels, height, width = image_shape
    rows, columns = ((height - 4) // 2 - 4) // 2, ((width - 4) // 2 - 4) // 2  # 4 x 4 for 28 x 28
    norm_1d, norm_2d = ([nn.BatchNorm1d], [nn.BatchNorm2d]) if norms else ([], [])
    return xavier(
        nn.Sequential(
            nn.Conv2d(channels, 32, 5),
            nn.LeakyReLU(0.01),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5),
            *(norm(64) for norm in norm_2d),
            nn.LeakyReLU(0.01),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(rows * columns * 64, 1024),
            *(norm(1024) for norm in norm_1d),
            nn.LeakyReLU(0.01),
            nn.Linear(1024, 1),
            nn.Flatten(0),  # (N, 1) -> (N,)
        )
    )
