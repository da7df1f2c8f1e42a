"""The pair `dcgan` without batch norm in G (its D never had one)."""

from __future__ import annotations

from torch import nn

from ganscribe.gan.common.layers import dcgan_discriminator, dcgan_generator
from ganscribe.gan.common.networks import ImageShape


def build_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    """Build G, without batch norm: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1]."""
    return dcgan_generator(noise_dim, image_shape, norms=False)


def build_discriminator(image_shape: ImageShape) -> nn.Module:
    """Build D: images (N, C, H, W) to scores (N,)."""
    return dcgan_discriminator(image_shape)
