"""Multi-layer perceptrons of Stanford's CS231n, assignment 3.

D: pixels-256-256-1, LeakyReLU(0.01). G: noise-1024-1024-pixels, ReLU, tanh.
"""

from __future__ import annotations

import math

from torch import nn

from ganscribe.gan.common.networks import ImageShape


def build_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    """Build G: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(noise_dim, 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, math.prod(image_shape)),
        nn.Tanh(),
        nn.Unflatten(1, image_shape),
    )


def build_discriminator(image_shape: ImageShape) -> nn.Module:
    """Build D: images (N, C, H, W) to scores (N,)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(image_shape), 256),
        nn.LeakyReLU(0.01),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.01),
        nn.Linear(256, 1),
        nn.Flatten(0),  # (N, 1) -> (N,)
    )
