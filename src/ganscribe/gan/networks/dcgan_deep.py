"""A deeper DCGAN after Radford et al. 2015 (1511.06434), batch norm and dropout in both networks.

"same" follows TensorFlow's padding: sides 28, 14, 7, 4 and 32, 16, 8, 4. Weights start as Keras's.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganscribe.gan.common.layers import glorot
from ganscribe.gan.common.networks import ImageShape


class CropEnd(nn.Module):
    """Drop the last row and column: TensorFlow's "same" transposed 3x3 convolution of stride 2."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H - 1, W - 1)."""
        return images[:, :, :-1, :-1]


def same_padding(side: int) -> nn.ZeroPad2d:
    """Pad as TensorFlow's "same" does before a 3x3 convolution of stride 2: an odd pixel goes to the end."""
    return nn.ZeroPad2d((0, 1, 0, 1) if side % 2 == 0 else (1, 1, 1, 1))


def build_generator(noise_dim: int, image_shape: ImageShape, *, dropout: float = 0.2) -> nn.Module:
    """Build G: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1], of 28 or 32 pixels a side."""
    channels, height, width = image_shape
    sides = {28: (4, 1, 0), 32: (4, 2, 1)}  # 4 -> 7 valid, 4 -> 8 same: kernel, stride, padding
    if height != width or height not in sides:
        raise ValueError(f"dcgan_deep makes images of 28 or 32 pixels a side, not {height} x {width}")
    kernel, stride, padding = sides[height]
    return glorot(
        nn.Sequential(
            nn.Linear(noise_dim, 4 * 4 * 512),
            nn.BatchNorm1d(4 * 4 * 512),
            nn.LeakyReLU(0.01),
            nn.Dropout(dropout),
            nn.Unflatten(1, (512, 4, 4)),
            nn.ConvTranspose2d(512, 256, kernel, stride=stride, padding=padding),
            nn.BatchNorm2d(256),
            nn.LeakyReLU(0.01),
            nn.Dropout(dropout),
            nn.ConvTranspose2d(256, 128, 3, stride=2),
            CropEnd(),
            nn.BatchNorm2d(128),
            nn.LeakyReLU(0.01),
            nn.Dropout(dropout),
            nn.ConvTranspose2d(128, channels, 3, stride=2),
            CropEnd(),
            nn.Tanh(),
        )
    )


def build_discriminator(image_shape: ImageShape, *, dropout: float = 0.2) -> nn.Module:
    """Build D: images (N, C, H, W) to scores (N,)."""
    channels, height, width = image_shape
    layers: list[nn.Module] = []
    for inputs, filters in ((channels, 128), (128, 256), (256, 512)):
        layers += [same_padding(height), nn.Conv2d(inputs, filters, 3, stride=2)]
        layers += [nn.BatchNorm2d(filters)] if inputs != channels else []
        layers += [nn.LeakyReLU(0.01), nn.Dropout(dropout)]
        height, width = -(-height // 2), -(-width // 2)  # 28, 14, 7, 4 or 32, 16, 8, 4
    layers += [nn.Flatten(), nn.Linear(512 * height * width, 1), nn.Flatten(0)]
    return glorot(nn.Sequential(*layers))
