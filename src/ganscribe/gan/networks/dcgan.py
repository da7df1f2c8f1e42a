"""The DCGAN of Stanford's CS231n, assignment 3: layers in `gan/common/layers.py`."""

from __future__ import annotations

from torch import nn

from ganscribe.gan.common.layers import dcgan_discriminator, dcgan_generator
from ganscribe.gan.common.networks import ImageShape


def build_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    """Build G, with batch norm: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1]."""
    return dcgan_generator(noise_dim, image_shape, norms=True)


def build_discriminator(image_shape: ImageShape) -> nn.Module:
    """Build D, which has no batch norm: images (N, C, H, W) to scores (N,)."""
    return dcgan_discriminator(image_shape)
