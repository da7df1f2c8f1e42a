"""The pair `dcgan` with batch norm in D too, as DCGANs have it (Radford et al. 2015, 1511.06434)."""

from __future__ import annotations

from torch import nn

from ganscribe.gan.common.layers import dcgan_discriminator, dcgan_generator
from ganscribe.gan.common.networks import ImageShape


def build_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    """Build G, that of `dcgan`: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1]."""
    return dcgan_generator(noise_dim, image_shape, norms=True)


def build_discriminator(image_shape: ImageShape) -> nn.Module:
    """Build D, with batch norm after its second convolution and its wide layer: images (N, C, H, W) to scores (N,)."""
    return dcgan_discriminator(image_shape, norms=True)
